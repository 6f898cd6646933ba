"""Says what Python's email package reads in the letters that are named as arguments.

For each file: its fields as people read them, its parts with their types and names, and what is in
them. Anything that the package finds wrong is said too. tests/compose.rs compares the words.
"""

import email
import email.policy
import sys

FIELDS = [
    "From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To",
    "References", "Auto-Submitted",
]


def fields(letter):
    for name in FIELDS:
        for value in letter.get_all(name, []):
            if name in ("From", "To", "Cc", "Reply-To"):
                people = [f"{p.display_name!r} {p.addr_spec}" for p in value.addresses]
                value = "; ".join(people)
            yield f"{name}: {' '.join(str(value).split())}"
            for defect in getattr(value, "defects", []):
                yield f"DEFECT in {name}: {defect!r}"


def parts(part, depth):
    indent = "  " * depth
    said = part.get_content_type()
    for name, value in [
        ("named", part.get_filename()),
        ("as", part.get_content_disposition()),
        ("id", part.get("Content-ID")),
        ("wrapped in", part.get("Content-Transfer-Encoding")),
    ]:
        if value:
            said += f", {name} {value}"
    yield f"{indent}{said}"
    for defect in part.defects:
        yield f"{indent}DEFECT: {defect!r}"
    if part.get_content_type() == "message/rfc822":
        inner = part.get_content()
        for line in list(fields(inner)) + list(parts(inner, 0)):
            yield f"{indent}  | {line}"
    elif part.is_multipart():
        for child in part.iter_parts():
            yield from parts(child, depth + 1)
    elif part.get_content_maintype() == "text" and part.get_content_disposition() is None:
        for line in part.get_content().rstrip("\n").split("\n"):
            yield f"{indent}  > {line}".rstrip()
    else:
        yield f"{indent}  {part.get_content()!r}"


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        letter = email.message_from_binary_file(file, policy=email.policy.default)
    for line in list(fields(letter)) + list(parts(letter, 0)):
        sys.stdout.buffer.write((line + "\n").encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.write(b"\0")
