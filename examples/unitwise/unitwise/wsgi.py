"""The application that uWSGI serves: `application`, as WSGI wants it called."""
import os

import falcon

from unitwise.units import NotComparable, convert


class Conversion:
    """`GET /convert?value=26.2&from=mi&to=km`"""

    def __init__(self, digits: int) -> None:
        self.digits = digits

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        value = request.get_param_as_float("value", required=True)
        source = request.get_param("from", required=True)
        target = request.get_param("to", required=True)
        try:
            converted = convert(value, source, target)
        except NotComparable as error:
            raise falcon.HTTPBadRequest(title="No such conversion", description=str(error)) from error
        response.media = {"value": round(converted, self.digits), "unit": target}


class Health:
    """`GET /health`"""

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        response.media = {"status": "ok"}


def create_application() -> falcon.App:
    """The application, set up by the variables of `unitwise.conf`."""
    digits = int(os.environ["UNITWISE_DIGITS"])
    app = falcon.App()
    app.add_route("/convert", Conversion(digits))
    app.add_route("/health", Health())
    print(f"answers have {digits} digits", flush=True)
    return app


application = create_application()
