"""The pages of the store, each a function from what is to be shown to HTML. No page asks another service."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from layout import hidden, money, note
from picture import picture
from service.markup import Html, html
from visitor import Visitor

Product = dict[str, Any]
Order = dict[str, Any]

SHELF = ("morning-mug", "moon-jar", "milk-jug", "amphora", "breakfast-bowl")  # in the window, left to right

AWAY = {
    "accounts": ("The door is being oiled", "Signing in has to wait a moment. Looking around does not."),
    "catalog": ("The shelves are being dusted", "The products are back in a moment; your cart is safe."),
    "cart": ("Your cart is resting", "What you put into it is safe; it is back in a moment."),
    "orders": ("Orders are resting", "Your cart is safe, and nothing is ordered twice. Try again in a moment."),
}


def shop(products: Sequence[Product], categories: Sequence[dict[str, Any]], q: str, category: str) -> Html:
    return html(
        '{window}<nav class="chips" aria-label="Categories">{chips}</nav>{found}<ul class="grid">{cards}</ul>',
        window="" if q or category else _window(products),
        chips=[_chip("Everything", "", category or q), *(_chip(c["name"], c["name"], category) for c in categories)],
        found=_found(len(products), q, category),
        cards=[_card(product) for product in products],
    )


def _window(products: Sequence[Product]) -> Html:
    known = {product["sku"]: product for product in products}
    return html(
        '<section class="window"><div><h1>Pots for every day, thrown by hand</h1>'
        "<p>Cups that keep warm, bowls that feed people, and a jar or two that do nothing but stand there.</p></div>"
        '<div class="shelf" aria-hidden="true">{pictures}</div></section>',
        pictures=[picture(known[sku] | {"sku": f"window-{sku}"}) for sku in SHELF if sku in known],
    )


def _chip(label: str, category: str, chosen: str) -> Html:
    return html(
        '<a href="{url}"{current}>{label}</a>',
        url=f"/?category={quote(category)}" if category else "/",
        current=html(' aria-current="page"') if category.lower() == chosen.lower() else "",
        label=label,
    )


def _found(count: int, q: str, category: str) -> Html:
    if not q and not category:
        return html('<h2 class="unseen">All products</h2>')
    what = f"“{q}”" if q else category
    if not count:
        return html(
            '<h1>Nothing for {what}</h1><p>Try a shorter word, or <a href="/">see everything</a>.</p>', what=what
        )
    return html("<h1>{what} <small>{count}</small></h1>", what=what, count=_counted(count, "piece"))


def _card(product: Product) -> Html:
    return html(
        '<li class="card {glaze}"><a href="/products/{sku}"><span class="picture">{picture}</span>'
        '<span class="name">{name}</span><span class="price">{price}</span></a></li>',
        sku=quote(product["sku"]), glaze=f"glaze-{product['glaze']}", picture=picture(product),
        name=product["name"], price=money(product["price_cents"]),
    )  # fmt: skip


def product(item: Product, visitor: Visitor, added: bool) -> Html:
    buy = (
        html(
            '<form method="post" action="/cart/add">{fields}<label for="quantity">Quantity</label>'
            '<input id="quantity" name="quantity" type="number" value="1" min="1" max="99" required>'
            "<button>Add to cart</button></form>",
            fields=hidden(form_token=visitor.form_token, sku=item["sku"]),
        )
        if visitor.session
        else html('<p><a class="button" href="/sign-in?next=/products/{sku}">Sign in to buy</a></p>', sku=item["sku"])
    )
    return html(
        '{note}<article class="product glaze-{glaze}"><div class="picture">{picture}</div><div>'
        '<p class="crumb"><a href="/?category={category_url}">{category}</a></p><h1>{name}</h1>'
        '<p class="price">{price}</p><p>{description}</p>{buy}'
        "<dl><dt>Glaze</dt><dd>{glaze}, {pattern}</dd><dt>Size</dt><dd>{width} &times; {height} mm</dd></dl>"
        "</div></article>",
        note=html('<p class="note good" role="status">In your cart. <a href="/cart">Go to the cart</a></p>')
        if added
        else "",
        picture=picture(item), category=item["category"], category_url=quote(item["category"]), name=item["name"],
        price=money(item["price_cents"]), description=item["description"], glaze=item["glaze"],
        pattern=item["pattern"], width=item["width_mm"], height=item["height_mm"], buy=buy,
    )  # fmt: skip


def cart(lines: Sequence[dict[str, Any]], visitor: Visitor, key: str, problem: str = "") -> Html:
    """`lines` have a product each, or None where it is no longer sold. `key` makes a repeated order the same one."""
    if not lines:
        return html('<h1>Your cart</h1><p>It is empty. <a href="/">Have a look around</a>.</p>')
    total = sum(line["product"]["price_cents"] * line["quantity"] for line in lines if line["product"])
    return html(
        '{problem}<h1>Your cart</h1><ul class="lines">{lines}</ul>'
        '<form class="total" method="post" action="/orders">{fields}<p>Total <strong>{total}</strong></p>'
        "<button>Place the order</button></form>",
        problem=note(problem, "bad") if problem else "",
        lines=[_cart_line(line, visitor.form_token) for line in lines],
        fields=hidden(form_token=visitor.form_token, key=key, expected_total_cents=total),
        total=money(total),
    )


def _cart_line(line: dict[str, Any], form_token: str) -> Html:
    item, sku = line["product"], line["sku"]
    fields = hidden(form_token=form_token, sku=sku)
    remove = html(
        '<form method="post" action="/cart/set">{fields}{none}<button class="quiet" aria-label="Remove {name}">Remove'
        "</button></form>",
        fields=fields, none=hidden(quantity=0), name=item["name"] if item else sku,
    )  # fmt: skip
    if item is None:
        return html(
            "<li><div><strong>{sku}</strong><p>is no longer sold</p></div>{remove}</li>", sku=sku, remove=remove
        )
    return html(
        '<li class="glaze-{glaze}"><a class="picture" href="/products/{url}" tabindex="-1">{picture}</a>'
        '<div><a href="/products/{url}">{name}</a><p>{price} each</p></div>'
        '<form method="post" action="/cart/set">{fields}<label class="unseen" for="n-{sku}">'
        'Quantity of {name}</label><input id="n-{sku}" name="quantity" type="number" min="0" max="99"'
        ' value="{quantity}" required>'
        '<button class="quiet">Update</button></form>{remove}<strong class="sum">{sum}</strong></li>',
        glaze=item["glaze"], url=quote(sku), picture=picture(item), name=item["name"],
        price=money(item["price_cents"]), fields=fields, sku=sku, quantity=line["quantity"], remove=remove,
        sum=money(item["price_cents"] * line["quantity"]),
    )  # fmt: skip


def orders(found: Sequence[Order]) -> Html:
    if not found:
        return html('<h1>Your orders</h1><p>None yet. <a href="/">Have a look around</a>.</p>')
    row = (
        '<li><a href="/orders/{number}">Order {number}</a><span>{when}</span><span>{pieces}</span>'
        "<strong>{total}</strong></li>"
    )
    return html(
        '<h1>Your orders</h1><ul class="orders">{rows}</ul>',
        rows=[
            html(row, number=order["number"], when=_day(order["placed_at"]), total=money(order["total_cents"]),
                 pieces=_counted(sum(line["quantity"] for line in order["lines"]), "piece"))
            for order in found
        ],
    )  # fmt: skip


def order(found: Order, placed: bool) -> Html:
    row = '<tr><td>{name}</td><td class="n">{quantity}</td><td class="n">{price}</td><td class="n">{sum}</td></tr>'
    return html(
        '{note}<h1>Order {number}</h1><p class="crumb">{when}</p><table><thead><tr><th scope="col">Piece</th>'
        '<th scope="col" class="n">Quantity</th><th scope="col" class="n">Each</th><th scope="col" class="n">Sum</th>'
        '</tr></thead><tbody>{rows}</tbody><tfoot><tr><th scope="row" colspan="3">Total</th>'
        '<td class="n"><strong>{total}</strong></td></tr></tfoot></table><p><a href="/orders">All orders</a></p>',
        note=note("Thank you! We are wrapping it already.") if placed else "",
        number=found["number"], when=_day(found["placed_at"]), total=money(found["total_cents"]),
        rows=[
            html(row, name=line["name"], quantity=line["quantity"], price=money(line["price_cents"]),
                 sum=money(line["price_cents"] * line["quantity"]))
            for line in found["lines"]
        ],
    )  # fmt: skip


def sign_in(visitor: Visitor, back_to: str, email: str = "", problem: str = "") -> Html:
    return html(
        '<section class="sheet">{problem}<h1>Sign in</h1><form method="post" action="/sign-in">{fields}{inputs}'
        '<button>Sign in</button></form><p>New here? <a href="/sign-up?next={next}">Sign up</a></p></section>',
        problem=note(problem, "bad") if problem else "",
        fields=hidden(form_token=visitor.form_token, next=back_to),
        inputs=[_input("email", "Email", "email", "username", email),
                _input("password", "Password", "password", "current-password")],
        next=quote(back_to),
    )  # fmt: skip


def sign_up(visitor: Visitor, back_to: str, name: str = "", email: str = "", problem: str = "") -> Html:
    return html(
        '<section class="sheet">{problem}<h1>Sign up</h1><form method="post" action="/sign-up">{fields}{inputs}'
        "<p class=\"hint\" id=\"hint\">At least 8 characters.</p><button>Sign up</button></form>"
        '<p>Have an account? <a href="/sign-in?next={next}">Sign in</a></p></section>',
        problem=note(problem, "bad") if problem else "",
        fields=hidden(form_token=visitor.form_token, next=back_to),
        inputs=[_input("name", "Your name", "text", "name", name),
                _input("email", "Email", "email", "username", email),
                _input("password", "Password", "password", "new-password")],
        next=quote(back_to),
    )  # fmt: skip


def _input(name: str, label: str, kind: str, complete: str, value: str = "") -> Html:
    return html(
        '<label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}" autocomplete="{complete}"'
        ' value="{value}" required{more}>',
        name=name, label=label, kind=kind, complete=complete, value=value,
        more=html(' minlength="8" aria-describedby="hint"') if complete == "new-password" else "",
    )  # fmt: skip


def away(peer: str, path: str, fields: dict[str, str]) -> Html:
    """A service does not answer. `fields` is the form that waits to be sent again, or nothing."""
    title, text = AWAY.get(peer, ("We are resting", "Try again in a moment."))
    again = (
        html('<form method="post" action="{path}">{fields}<button>Try again</button></form>',
             path=path, fields=hidden(**fields))
        if fields
        else html('<p><a class="button" href="{path}">Try again</a></p>', path=path)
    )  # fmt: skip
    return html(
        '<section class="sheet away">{picture}<h1>{title}</h1><p role="alert">{text}</p>{again}'
        '<p><a href="/">Back to the shop</a></p></section>',
        picture=picture({"sku": "away", "name": "A pot at rest", "form": "moon", "glaze": "celadon",
                         "pattern": "plain", "width_mm": 150, "height_mm": 140}),
        title=title, text=text, again=again,
    )  # fmt: skip


def sorry(why: str) -> Html:
    return html(
        '<section class="sheet"><h1>That did not work</h1><p role="alert">{why}.</p>'
        '<p><a class="button" href="/">Back to the shop</a></p></section>',
        why=why[:1].upper() + why[1:],
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _day(moment: float) -> str:
    return time.strftime("%-d %B %Y, %H:%M UTC", time.gmtime(moment))
