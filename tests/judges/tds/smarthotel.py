"""python-tds reads SmartHotel from the lab's SQL Server: over TLS with the lab's authority, with parameters, transactions,
types and refusals.

Called as `python smarthotel.py HOST PORT USER PASSWORD CA-FILE`. Prints `ok NAME` for each check.
"""

import datetime
import sys

import pytds


def ok(name: str) -> None:
    print("ok", name, flush=True)


def connect(password: str, **more):
    host, port, user, _, ca = sys.argv[1:6]
    return pytds.connect(
        dsn=host,
        port=int(port),
        user=user,
        password=password,
        database="SmartHotelDB",
        cafile=ca,
        # The authority is verified. For the name python-tds 1.17 calls what pyOpenSSL has removed.
        validate_host=False,
        **more,
    )


def refused(cursor, statement: str, number: int) -> None:
    try:
        cursor.execute(statement)
        cursor.fetchall()
    except pytds.Error as e:
        assert e.number == number, f"{statement}: {e.number} {e}"
    else:
        raise AssertionError(f"{statement} was not refused")


def main() -> None:
    password = sys.argv[4]
    with connect(password) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT @@VERSION")
        assert cursor.fetchone()[0].startswith("Microsoft SQL Server 2016")
        ok("signed in over TLS")

        cursor.execute("SELECT Id, Name, City, Rating FROM dbo.Hotels ORDER BY Id")
        assert cursor.fetchall() == [
            (1, "Secret Camp", "Seattle", 4.5),
            (2, "Grand Plaza", "New York", 4.1),
            (3, "Hôtel Étoile", "Paris", 4.8),
        ]
        assert [c[0] for c in cursor.description] == ["Id", "Name", "City", "Rating"]
        ok("a table")

        cursor.execute("SELECT Guest, CheckIn, Paid, Note FROM Bookings WHERE HotelId = %s AND Id < %s ORDER BY Id", (2, 7))
        rows = cursor.fetchall()
        assert rows[0] == ("guest1@contoso.com", datetime.datetime(2026, 11, 2, 14, 30), False, "ruhiges Zimmer, 客室"), rows
        assert len(rows) == 2 and rows[1][0] == "guest4@contoso.com", rows
        ok("parameters and types")

        cursor.execute("SELECT COUNT(*) FROM [Bookings] WHERE Note IS NULL; SELECT TOP (1) name FROM sys.databases")
        assert cursor.fetchall() == [(8,)]
        assert cursor.nextset() and cursor.fetchall() == [("master",)]
        ok("several results")

        refused(cursor, "SELECT nope FROM dbo.Hotels", 207)
        refused(cursor, "SELECT * FROM dbo.Nope", 208)
        refused(cursor, "SELEC 1", 102)
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]
        ok("refusals")
        connection.commit()
        ok("a transaction")

    try:
        connect("wrong").close()
    except pytds.Error as e:
        assert "Login failed for user" in str(e), e
        ok("a wrong password")
    else:
        raise AssertionError("a wrong password was taken")

    with connect(password, enc_login_only=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT DB_NAME()")
        assert cursor.fetchall() == [("SmartHotelDB",)]
        ok("only the login encrypted")


main()
