"""Health of a container, whatever it runs: python health.py PORT…

`qreg serve` and `qreg hub serve` listen on a port and answer /health; every other command listens
on none and is healthy as long as it runs. So a port on which nobody listens says nothing, and one
on which somebody listens must answer. A model that is still being pulled or loaded is healthy, too:
whether it can be asked already is what its own /health says, and readiness probes read that.
"""

import http.client
import sys

_PATIENCE = 5.0  # seconds


def problem(port: int) -> str:
    """What is wrong with the server on a port of 127.0.0.1; empty where nothing or nobody is."""
    # Not urllib: it would ask a proxy of the environment.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except ConnectionRefusedError:
        return ""
    except (OSError, http.client.HTTPException) as error:
        return f"port {port} does not answer: {error!r}"
    finally:
        connection.close()
    return "" if status == 200 else f"port {port} answers /health with {status}"


if __name__ == "__main__":
    found = [text for port in sys.argv[1:] if (text := problem(int(port)))]
    sys.exit("; ".join(found) or 0)
