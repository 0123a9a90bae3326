package examples

// people are the names of one country, and the language its people read.
type people struct {
	country     string // language code, as the legacy system has it
	first, last []string
}

func nations() []people {
	return []people{
		{"da",
			words("Mette Søren Anne Lars Kirsten Jørgen Hanne Peter Lone Jens Åse Niels Ida Bjørn Maja Rasmus Freja Magnus Sofie Mads Camilla Henrik Birgitte Ole Trine Kasper Signe Anders Lærke Mikkel Tove Poul Gitte Torben Astrid Frederik Pia Morten Bodil Esben Inger Jeppe Ditte Claus Helle Tobias Rikke Flemming Østen Karen Finn Susanne Erik Charlotte Jesper Marie Thomas Vibeke Christian Nanna"),
			words("Nielsen Jensen Hansen Pedersen Andersen Christensen Larsen Sørensen Rasmussen Jørgensen Petersen Madsen Kristensen Olsen Thomsen Christiansen Poulsen Johansen Møller Mortensen Knudsen Frandsen Østergaard Lund Holm Skovgaard Nørgaard Bækgaard Kjær Ågård Vestergaard Dahl Bach Friis Krogh Bruun Winther Lauridsen Damgaard Ravn Søndergaard Toft Overgaard Bjerregaard Kofoed Højlund Brandt Mikkelsen Iversen Schou Bang Fisker Thygesen Hedegaard Eskildsen Præstegaard Bjørnager Steffensen Kirkegaard Villadsen")},
		{"nb", words("Kari Ola Ingrid Håkon Sølvi Øyvind Marit Sindre Ragnhild Eirik Guro Tormod"), words("Haugen Bakke Solberg Nygård Ødegård Fossum Lie Strøm Bråten Hovland Myhre")},
		{"sv", words("Åsa Göran Linnéa Björn Malin Håkan Ulrika Örjan Elin Mattias Annika Sixten"), words("Lindqvist Bergström Sjöberg Åkesson Öberg Nyström Wallin Hägglund Ekdahl Forsberg Sandström")},
		{"de", words("Jürgen Käthe Günter Silke Lothar Anke Dörte Uwe Heike Matthias Birgit Jörg"), words("Müller Schröder Köhler Groß Weiß Krämer Böhm Vogel Sauer Hartmann Lüders")},
		{"en", words("Emily James Siobhán Oliver Grace Callum Fiona Nigel Hazel Duncan Alice Rhys"), words("Smith O'Brien Whitfield McAllister Hughes Bennett Thackeray Ashworth Doyle Pemberton Lovell")},
		{"nl", words("Sanne Joost Femke Bram Anouk Sjoerd Lotte Ruben Marloes Thijs"), words("Bakker Visser Hoekstra Dekker Smit Kuipers Postma Brouwer Veenstra")},
		{"fr", words("Élodie François Hélène Benoît Chloé Jérôme Océane Loïc"), words("Lefèvre Dubois Garçon Moreau Bézier Fontaine Roché")},
		{"fi", words("Päivi Jukka Aino Väinö Sirpa Mikko"), words("Mäkinen Virtanen Hämäläinen Korhonen Järvinen")},
		{"pl", words("Małgorzata Paweł Agnieszka Łukasz Zofia"), words("Wójcik Kowalczyk Dąbrowski Żak Wiśniewska Zieliński")},
	}
}

// nation draws a nation for a contact whose company is Danish, or who has none.
func nation(d *dice) int {
	return weighted(d, 860, 30, 30, 30, 25, 10, 5, 5, 5)
}

func prefixes() []string {
	return words("Nordlys Vestkysten Fjordens Bøgelund Strandby Havnens Solbakken Kongeå Limfjord Egeskov Skagen Mågehøj Ærø Sydhavns Rørvig Blåvand Hedens Møllens Østersø Gudenå Klitmøller Fanø Langeland Birkelund Viking Thyborg Søhest Lillebælt Storebælt Kattegat Danevang Rold Åmosen Troldhede Bakkens Svanesø Hasselø Fyrtårn Stjerne Kornblomst")
}

// business is what companies of one country do and are.
type business struct {
	trades []string
	form   string
}

// businesses have the same number of trades in each country: company names
// stay distinct because of it.
func businesses() map[string]business {
	return map[string]business{
		"da": {words("Byg El Bageri Regnskab Transport Planteskole Smedje Grafisk Klinik Møbler Fiskeeksport Reklamebureau Cykler Malerfirma Revision"), "ApS"},
		"nb": {words("Bygg Elektro Bakeri Regnskap Frakt Hage Smie Trykkeri Klinikk Møbler Fisk Reklame Sykler Maling Revisjon"), "AS"},
		"sv": {words("Bygge Elteknik Bageri Redovisning Åkeri Trädgård Smedja Tryck Vård Inredning Fiskhall Annons Cyklar Färg Granskning"), "AB"},
		"de": {words("Bau Elektrotechnik Bäckerei Buchhaltung Spedition Gartenbau Schmiede Druckerei Praxis Möbelhaus Fischerei Werbung Fahrräder Farben Prüfung"), "GmbH"},
		"en": {words("Builders Electrical Bakery Accounting Haulage Gardens Forge Printing Clinic Furniture Fisheries Advertising Bicycles Paints Auditing"), "Ltd"},
	}
}
