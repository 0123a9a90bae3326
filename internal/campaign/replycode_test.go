package campaign_test

import (
	"testing"

	"github.com/jatak-mail/jatak/internal/campaign"
)

func TestReplyCodesAreReadOrRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]campaign.ReplyCode{
		"": {}, "550": {Basic: 550}, "421": {Basic: 421},
		"4.2.2": {Enhanced: "4.2.2"}, "5.7.1": {Enhanced: "5.7.1"}, "5.7": {Enhanced: "5.7"}, "5.7.509": {Enhanced: "5.7.509"},
		"550 5.7.1": {Basic: 550, Enhanced: "5.7.1"}, "452 4.2": {Basic: 452, Enhanced: "4.2"},
	} {
		got, err := campaign.ParseReplyCode(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is read as %+v (%s), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"5", "55", "250", "2.1.5", "600", "5501", "5.", "5.7.", ".7", "5.7.1.1", "5.07", "5.7.1000", "5.x.1", "55.7", "5,7", "5.-7", "mailbox", " 550", "550 ", "0550", " 5.7.1", "5.7.1 550", "550 5", "550  5.7.1", "550 5.7.1 x", "5.7%"} {
		if got, err := campaign.ParseReplyCode(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}
