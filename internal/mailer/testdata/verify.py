"""Verifies the DKIM signatures of a mail on stdin by python3-dkim.

The arguments are names and TXT records: name record name record. Prints, for each
signature, its algorithm, whether it is good, and the fields that it covers.
"""
import sys

import dkim

records = {n.encode(): r.encode() for n, r in zip(sys.argv[1::2], sys.argv[2::2])}
mail = sys.stdin.buffer.read()


def lookup(name, timeout=5):
    return records.get(name.rstrip(b"."))


for i in range(mail.lower().split(b"\r\n\r\n")[0].count(b"dkim-signature:")):
    d = dkim.DKIM(mail)
    good = d.verify(idx=i, dnsfunc=lookup)
    print(d.signature_fields[b"a"].decode(), good, b"".join(d.signature_fields[b"h"].split()).decode().lower())
