"""Opens a certificate as it was uploaded to a managed instance, with the library below Microsoft's own clients.

Reads the properties of the request from standard input: privateBlob, certPassword. Says whose it is; fails when the file does
not open by the password, holds no private key, or the key is another certificate's or damaged.
"""

import base64
import json
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import pkcs12

asked = json.load(sys.stdin)
file = base64.b64decode(asked["privateBlob"], validate=True)
key, certificate, others = pkcs12.load_key_and_certificates(file, asked["certPassword"].encode())
assert key is not None and certificate is not None and not others
signed = key.sign(b"proof", padding.PKCS1v15(), hashes.SHA256())
certificate.public_key().verify(signed, b"proof", padding.PKCS1v15(), hashes.SHA256())
print(json.dumps({"thumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper()}))
