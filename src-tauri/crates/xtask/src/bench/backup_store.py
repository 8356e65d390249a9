"""For `cargo xtask bench backup`: a certificate for Azurite, and with Microsoft's library a container and its signature.

* `cert FOLDER` writes `ca.pem` and `key.pem` for 127.0.0.1.
* `container ADDRESS ACCOUNT KEY NAME CA` makes the container and prints a SAS that may read, create and write for a day.
"""

import datetime
import ipaddress
import pathlib
import sys

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def cert(folder: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Azurite")])
    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    pathlib.Path(folder, "ca.pem").write_bytes(own.public_bytes(pem))
    plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    pathlib.Path(folder, "key.pem").write_bytes(key.private_bytes(pem, *plain))


def container(address: str, account: str, key: str, name: str, ca: str) -> None:
    from azure.storage.blob import ContainerClient, generate_container_sas

    credential = {"account_name": account, "account_key": key}
    ContainerClient(address, name, credential=credential, connection_verify=ca).create_container()
    print(generate_container_sas(account, name, account_key=key, permission="rcw", start=NOW - DAY, expiry=NOW + DAY))


{"cert": cert, "container": container}[sys.argv[1]](*sys.argv[2:])
