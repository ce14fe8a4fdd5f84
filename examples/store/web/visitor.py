"""Who sent a request, and what the head of each page shows of them."""

from __future__ import annotations

from typing import NamedTuple

from service.peers import Away, Peer
from service.server import Refused, Request
from service.site import Site, account_of

site = Site("store")
cart = Peer("cart")

HURRY = 0.3  # seconds of patience for what a page can do without


class Visitor(NamedTuple):
    session: str  # the token of the session, "" if there is none
    name: str  # "" if not signed in, or if accounts is away just now
    in_cart: int | None  # None if that cannot be said just now
    form_token: str
    new_cookie: str  # to be set by the answer, "" for none


def visitor_of(request: Request) -> Visitor:
    """A service that is away costs a name or a number in the head of the page, not the page."""
    session, form_token, new_cookie = site.browser_of(request)
    visitor = Visitor(session, "", None, form_token, new_cookie)
    try:
        account = account_of(session, HURRY)
        visitor = visitor._replace(name=account["name"])
        lines = cart.call("GET", f"/carts/{account['id']}", patience=HURRY)["lines"]
    except Away:
        return visitor
    except Refused:
        return visitor._replace(session="")
    return visitor._replace(in_cart=sum(line["quantity"] for line in lines))
