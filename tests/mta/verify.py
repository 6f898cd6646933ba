"""Says what dkimpy thinks of each DKIM signature of a letter: `verify.py HOST PORT FILE`.

Keys come from the name server at HOST:PORT. A line for each signature, from above: domain,
selector, algorithm, and pass or fail.
"""

import sys

import dkim
import dkim.util
import dns.resolver

host, port, path = sys.argv[1:]
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = [host]
resolver.port = int(port)


def key(name, timeout=5):
    answer = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
    return b"".join(answer[0].strings)


with open(path, "rb") as file:
    letter = file.read()
headers = dkim.DKIM(letter).headers
signatures = [value for name, value in headers if name.lower() == b"dkim-signature"]
for place, signature in enumerate(signatures):
    tags = dkim.util.parse_tag_value(signature)
    try:
        passed = dkim.DKIM(letter).verify(place, dnsfunc=key)
    except dkim.DKIMException:
        passed = False
    said = [tags[name].decode() for name in (b"d", b"s", b"a")]
    print(*said, "pass" if passed else "fail")
