"""A real SMTP server for the tests of mail. Prints its port, then every mail it took as a line of JSON.

argv: certificate.pem certificate.key mode tls auth
mode: take | refuse (550 for every recipient) | later (451) | die (closes when the text of the mail is there, without an answer)
tls: starttls | implicit | none
auth: the password of user "uketsuke", or empty for no login
"""
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

certificate, key, mode, tls, password = sys.argv[1:6]


def say(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if mode == "refuse":
            return "550 5.1.1 no such mailbox"
        if mode == "later":
            return "451 4.7.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("ascii"),
            "tls": session.ssl is not None or tls == "implicit",
            "user": session.auth_data.login.decode() if session.auth_data else "",
        })
        if mode == "die":
            server.transport.abort()
            await asyncio.sleep(0)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.login == b"uketsuke" and data.password == password.encode()
    return AuthResult(success=good, handled=True, auth_data=data if good else None)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def make():
        return SMTP(
            Handler(),
            hostname="localhost",
            require_starttls=tls == "starttls",
            tls_context=context if tls == "starttls" else None,
            auth_required=password != "",
            auth_require_tls=tls == "starttls",
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if tls == "implicit" else None)
    say({"port": server.sockets[0].getsockname()[1]})
    # Ends with the test that started it, whatever became of that.
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
