"""What keeps a carrier from its destination, in a few words. Pure; no address and no secret is in them."""

import socket
import ssl


def reason(error: Exception) -> str:
    """Why opening or using a connection failed."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message} (ca=FILE names who signed it)"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "the connection was closed"
        case ssl.SSLError():
            return f"TLS fails: {(error.reason or type(error).__name__).replace('_', ' ').lower()}"
        case TimeoutError():
            return "it does not answer in time"
        case socket.gaierror():
            return "the host's name is not known"
        case ConnectionRefusedError():
            return "nothing listens there"
        case ConnectionError() | EOFError():
            return "the connection was closed"
        case OSError() if error.strerror:
            return error.strerror.lower()
    return f"an unexpected {type(error).__name__}"
