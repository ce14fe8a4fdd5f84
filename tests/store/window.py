"""A browser without a screen: keeps cookies, follows redirects, and sends forms as they are on the page."""

from __future__ import annotations

from html.parser import HTMLParser
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit


class Page(NamedTuple):
    status: int
    path: str
    headers: dict[str, str]
    text: str
    forms: list[Form]

    def form(self, action: str) -> Form:
        return next(form for form in self.forms if form.action == action)


class Form(NamedTuple):
    method: str
    action: str
    fields: dict[str, str]


class Window:
    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self.cookies: dict[str, str] = {}
        self.set_cookie: list[str] = []  # as they came, with their attributes

    def open(self, path: str) -> Page:
        return self._ask("GET", path)

    def send(self, form: Form, **changes: object) -> Page:
        return self._ask(form.method.upper(), form.action, urlencode(form.fields | changes))

    def sign_up(self, email: str = "ada@example.org", name: str = "Ada", password: str = "correct horse") -> Page:
        return self.send(self.open("/sign-up").form("/sign-up"), name=name, email=email, password=password)

    def put_into_cart(self, sku: str, quantity: int = 1) -> Page:
        return self.send(self.open(f"/products/{sku}").form("/cart/add"), quantity=quantity)

    def _ask(self, method: str, path: str, body: str = "") -> Page:
        for _ in range(5):
            page = self._ask_once(method, path, body)
            if page.status != 303:
                return page
            method, path, body = "GET", page.headers["location"], ""
        raise AssertionError(f"redirected without end, lastly to {path}")

    def _ask_once(self, method: str, path: str, body: str) -> Page:
        connection = HTTPConnection(self._address, timeout=15)
        try:
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request(method, path, body, {"Cookie": cookies} if cookies else {})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        for header in response.headers.get_all("Set-Cookie") or []:
            self.set_cookie.append(header)
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in header:
                del self.cookies[name]
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Page(response.status, path, headers, text, _forms(text))


def _forms(text: str) -> list[Form]:
    parser = _Forms()
    parser.feed(text)
    return parser.found


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(attributes.get("method", "get"), attributes["action"], {}))
        elif tag == "input":
            self.found[-1].fields[attributes["name"]] = attributes.get("value", "")
