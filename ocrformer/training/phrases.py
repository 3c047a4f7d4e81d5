"""Texts that no book holds: addresses, receipt and screen lines, random strings."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from random import Random

from ocrformer.training.values import code, date, digits, phone, price, quantity, time_of_day

Words = Callable[[Random], str]
"""Draws one word of running text."""
Maker = Callable[[Random, Words], str]
"""Writes one text, with words from the second argument."""

_STREETS = (
    "Street St. Road Rd Avenue Ave. Lane Drive Blvd. Jalan JLN Lorong Taman Court Plaza Park Way Square "
    "Straße Platz rue Via"
).split()
_COMPANIES = "Ltd. Inc. LLC Co. Corp. SDN BHD GmbH S.A. PLC & Sons Enterprise Trading Holdings Mart Store".split()
_LABELS = (
    "Total Subtotal TOTAL Tax GST VAT CASH CHANGE Change Balance Amount Discount Rounding Qty Price Date Time "
    "Invoice Receipt Order Table Cashier Server Terminal Card Visa Approval Ref Tel Fax Email Website Item Description "
    "Customer Bill Page Payment Due Member Points Counter Staff Auth Gross Net Service Tendered Deposit "
    "Summe MwSt. Datum Uhrzeit Menge Preis Rechnung Betrag Rückgeld TVA TTC Montant Prix Quantité "
    "Numéro IVA Importe Precio Cantidad Número Totale Prezzo Quantità Resto"
).split()
_POLITE = (
    "Thank you", "Please come again", "THANK YOU", "Goods sold are not refundable", "Keep this receipt",
    "All prices include tax", "Have a nice day", "Customer copy", "Tax invoice", "Welcome",
    "No exchange without receipt", "Vielen Dank für Ihren Einkauf", "Merci de votre visite", "À bientôt",
    "Gracias por su compra", "Grazie e arrivederci",
)  # fmt: skip
_MARKS = ": : : - = * @ % x X / . , # $ & + ( ) | RM QTY NO. No T SR ZR S A PC PCS 1 0 x1 0% 6% 10%".split()
_ALIKE = (*"ceoaesuvnmhbrtflijygqpdIlJT", "rn", "ri", "ci", "cl", "vv", "tt", "fi", "li")
_LONE = "---.–—_=~•,':/|*+xX10lI"  # what stands alone in a column
_REPEATED = ("ha ", "no ", "the ", ". ", "- ", "12", "=-", "_ ", "10", "00 ")
_OFTEN = ("l0oO.-_=*#wi1I8xX", "0000l..--__", string.ascii_letters + string.digits, "xwvzonmsceaulitrxxx")
_TLDS = "com net org co.uk com.my co.kr de fr io gov edu info biz".split()
_SCREEN = (
    "File Edit View Insert Format Tools Help Window Settings Cancel OK Save Open Close Delete Search Sign in "
    "Log out Next Previous Back Apply Reset Download Upload Share Copy Paste Undo Redo Refresh Home Profile Loading..."
).split()


def address(rng: Random, words: Words) -> str:
    """A street address or a company name."""
    name = " ".join(words(rng).capitalize() for _ in range(rng.randint(1, 3)))
    return rng.choice(
        (
            f"{rng.randint(1, 999)} {name} {rng.choice(_STREETS)}",
            f"No. {rng.randint(1, 99)}, {rng.choice(_STREETS)} {name} {rng.randint(1, 40)}/{rng.randint(1, 40)},",
            f"LOT {rng.randint(1, 9999)}{rng.choice(('', '-A', 'B'))}, {name.upper()},",
            f"{digits(rng, 5, 5)} {name}, {words(rng).upper()}",
            f"{name} {rng.choice(_COMPANIES)}",
            f"{name.upper()} {rng.choice(_COMPANIES).upper()}",
            f"({digits(rng, 5, 7)}-{rng.choice(string.ascii_uppercase)})",
        )
    )


def web(rng: Random, words: Words) -> str:
    """An e-mail address, URL, path, handle or file name."""
    one, two, tld = words(rng).lower(), words(rng).lower(), rng.choice(_TLDS)
    number = rng.choice(("", digits(rng, 1, 5)))
    return rng.choice(
        (
            f"{one}{rng.choice(('', '.', '_', '-'))}{two}{number}@{words(rng).lower()}.{tld}",
            f"www.{one}{two}.{tld}",
            _url(rng, words),
            _url(rng, words),
            _url(rng, words),
            f"{one.capitalize()}.{tld}/{two.capitalize()}",
            f"/{one}/{two}/{words(rng).lower()}.{rng.choice(('txt', 'py', 'pdf', 'jpg', 'log'))}",
            f"C:\\{one.capitalize()}\\{two}.exe",
            f"{one}_{two}({words(rng).lower()})",
            f"{one}.{two} = {rng.choice(('None', 'true', digits(rng, 1, 4), repr(words(rng))))};",
            f"@{one}{two}",
            f"#{one}{number}",
            f'<{one} {two}="{words(rng)}">',
            f"{{{one}: [{digits(rng, 1, 3)}, {digits(rng, 1, 3)}]}}",
        )
    )


def _url(rng: Random, words: Words) -> str:
    """A URL with path and query, in lower case as browsers show it."""
    host = ".".join((*rng.choice((("www",), ("docs",), (), (), (words(rng),))), words(rng), rng.choice(_TLDS)))
    path = "".join(f"/{words(rng)}" for _ in range(rng.randint(0, 3))) + rng.choice(("", "", "/", ".html", ".php"))
    pairs = "&".join(
        f"{rng.choice(('id', 'page', 'lang', 'q', words(rng)))}={rng.choice((digits(rng, 1, 5), words(rng)))}"
        for _ in range(rng.choice((0, 0, 1, 2)))
    )
    scheme = rng.choice(("https://", "https://", "http://", "", "ftp://"))
    return f"{scheme}{host}{path}{'?' if pairs else ''}{pairs}".lower()


def item(rng: Random, words: Words) -> str:
    """What a receipt calls an article."""
    name = " ".join(words(rng) for _ in range(rng.randint(1, 4)))
    name = rng.choice((name.upper(), name.upper(), name.title(), name))
    if rng.random() < 0.3:
        name = f"{name} {rng.choice((quantity, code))(rng)}"
    if rng.random() < 0.15:
        name = f"{rng.choice((digits(rng, 1, 4), digits(rng, 8, 13), code(rng), '*', '-'))} {name}"
    return name


def labelled(rng: Random, words: Words) -> str:
    """A key and its value, as on forms and receipts."""
    key = rng.choice(_LABELS)
    if rng.random() < 0.35:
        key = f"{key} {rng.choice((words(rng), 'No', 'No.', '#', 'ID', 'RM', '(Excl. GST)', '6%', 'Amt'))}"
    key = key.upper() if rng.random() < 0.4 else key
    if rng.random() < 0.35:
        return key + rng.choice((":", " :", "", "", " #", ":-", "."))
    value = rng.choice((price, price, date, time_of_day, code, phone, quantity))(rng)
    return f"{key}{rng.choice((': ', ' : ', ' ', ':', ' = ', ' - ', '. '))}{value}"


def form(rng: Random, words: Words) -> str:
    """A field of a form: what is asked, in words of any subject, and perhaps the answer."""
    asked = " ".join(words(rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 5))))
    asked = rng.choice((asked.upper(), asked.upper(), asked.title(), asked.capitalize()))
    if rng.random() < 0.12:
        asked = rng.choice((f"{rng.randint(1, 40)}. {asked}", f"({rng.choice(string.ascii_lowercase)}) {asked}"))
    if rng.random() < 0.4:
        return asked + rng.choice((":", ":", "?", " #", " No.", "", " (Y/N)", ": ______", " ...."))
    names = " ".join(words(rng) for _ in range(rng.randint(1, 3)))
    initials = ". ".join(rng.choices(string.ascii_uppercase, k=2))
    value = rng.choice((date, phone, code, price, quantity))(rng)
    answer = rng.choice((names.title(), names.upper(), names, f"{initials}. {names.title()}", value, value))
    return f"{asked}{rng.choice((': ', ': ', ' : ', ' ', ':', ' - '))}{answer}"


def receipt(rng: Random, words: Words) -> str:
    """One field or line of a receipt."""
    roll = rng.random()
    if roll < 0.30:
        return rng.choice((price, price, price, date, time_of_day, phone, code, quantity))(rng)
    if roll < 0.50:
        return labelled(rng, words)
    if roll < 0.68:
        return item(rng, words)
    if roll < 0.76:
        return f"{item(rng, words)} {price(rng)}"
    if roll < 0.86:
        return address(rng, words)
    if roll < 0.90:
        return rng.choice(
            (f"{date(rng)} {time_of_day(rng)}", f"{quantity(rng)} {price(rng)} {price(rng)}", web(rng, words))
        )
    if roll < 0.95:  # a mark or an abbreviation alone in its column
        times = f"{digits(rng, 1, 2)}{rng.choice(('', ' '))}{rng.choice('xX')}"
        return rng.choice((*_MARKS, digits(rng, 1, 2), times, times, rng.choice(string.ascii_uppercase)))
    polite = rng.choice(_POLITE)
    frame = rng.choice("**~-=+#.") * rng.randint(1, 6)
    gap = rng.choice(("", " "))
    return rng.choice((polite, polite.upper(), f"{polite}!", f"{frame}{gap}{polite}{gap}{frame}"))


def screen(rng: Random, words: Words) -> str:
    """What a program shows: menus, code, addresses."""
    roll = rng.random()
    if roll < 0.45:
        return web(rng, words)
    if roll < 0.7:
        return rng.choice((" ".join(rng.sample(_SCREEN, rng.randint(1, 3))), labelled(rng, words)))
    return rng.choice((date, time_of_day, code, quantity, price))(rng)


def nonsense(rng: Random, words: Words) -> str:
    """Words of no language: letters shuffled, replaced or drawn at random, so that shapes alone can tell them."""
    roll = rng.random()
    word = words(rng)
    if roll < 0.3:
        word = "".join(rng.sample(word, len(word)))
    elif roll < 0.6:
        word = "".join(rng.choice(_ALIKE) if rng.random() < 0.3 else letter for letter in word)
    else:
        word = "".join(rng.choices(string.ascii_lowercase, k=max(2, len(word))))
    return rng.choice((word, word, word, word.capitalize(), word.upper()))


def rare(rng: Random, alphabet: Sequence[str], words: Words) -> str:
    """True repeats, nonsense, single characters and random strings, against reliance on words."""
    roll = rng.random()
    if roll < 0.38:
        return repeats(rng, alphabet)
    if roll < 0.57:
        return nonsense(rng, words)
    if roll < 0.65:
        return rng.choice(rng.choice((alphabet, _LONE)))
    length = rng.randint(2, 20)
    if roll < 0.78:
        return "".join(rng.choices(string.ascii_letters + string.digits, k=length))
    return "".join(rng.choices(alphabet, k=length)).strip()


def repeats(rng: Random, alphabet: Sequence[str]) -> str:
    """A character or a few again and again, which a decoder loses count of unless it has learnt to."""
    character = rng.choice(rng.choice((alphabet, *_OFTEN)))
    repeated = rng.choice((character, character, character, f"{character} ", rng.choice(_REPEATED)))
    return (repeated * rng.choice((rng.randint(2, 8), rng.randint(2, 40), rng.randint(16, 64)))).strip()


def strewn(rng: Random, text: str, signs: Sequence[str]) -> str:
    """The text with signs before, behind and between its words, where no sentence has them."""
    words = text.split()
    for place in rng.choices(range(len(words)), k=rng.choice((1, 1, 2, 4)) if words else 0):
        words[place] = rng.choice(("{1}{0}", "{0}{1}", "{1} {0}")).format(words[place], rng.choice(signs))
    return " ".join(words)
