"""Numbers as documents write them: prices, dates, times, telephone numbers, codes, quantities."""

from __future__ import annotations

import string
from random import Random

# Signs are drawn more often than abbreviations, whose letters are met everywhere.
_CURRENCIES = (*"$$$£££€€€€€¥₩₹", *"RM USD EUR Rs. CHF kr S$ GBP".split())
_MONTHS = "January February March April May June July August September October November December".split()
_OTHER_MONTHS = (
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split(),
)
_UNITS = "kg g mg lb oz L ml cm mm km m in ft % pcs pc ea hrs min PC PKT BTL CTN x W V GB MB °C".split()


def digits(rng: Random, low: int, high: int) -> str:
    """A string of low..high random digits."""
    return "".join(rng.choices(string.digits, k=rng.randint(low, high)))


def price(rng: Random) -> str:
    """An amount of money in one of many notations."""
    whole = rng.choice((rng.randint(0, 9), rng.randint(0, 99), rng.randint(0, 999), rng.randint(0, 99999)))
    cents = rng.choice(("00", "50", "90", "95", "99", f"{rng.randint(0, 99):02d}", f"{rng.randint(0, 99):02d}"))
    style = rng.random()
    if style < 0.62:
        amount = f"{whole:,}.{cents}" if rng.random() < 0.5 else f"{whole}.{cents}"
    elif style < 0.75:
        amount = f"{whole:,}".replace(",", rng.choice((".", " ", ""))) + f",{cents}"
    else:
        amount = f"{whole:,}" if rng.random() < 0.5 else str(whole)
    if rng.random() < 0.4:
        currency = rng.choice(_CURRENCIES)
        gap = rng.choice(("", " "))
        amount = f"{currency}{gap}{amount}" if rng.random() < 0.75 else f"{amount}{gap}{currency}"
    if rng.random() < 0.12:
        amount = rng.choice(("-{}", "({})", "{}-", "{} T", "{}SR", "{} S", "*{}", "{} A", "+{}", "@{}")).format(amount)
    return amount


def date(rng: Random) -> str:
    """A date, in digits or words."""
    day, month, year = rng.randint(1, 31), rng.randint(1, 12), rng.randint(1700, 2030)
    if rng.random() < 0.7:
        year = rng.randint(1990, 2030)
    short = f"{year % 100:02d}"
    name = (rng.choice(_OTHER_MONTHS) if rng.random() < 0.12 else _MONTHS)[month - 1]
    name = rng.choice((name, name[:3], name[:3].upper(), name.upper(), f"{name[:3]}."))
    separator = rng.choice("//--. ")
    numeric = rng.choice(
        (
            f"{day:02d}{separator}{month:02d}{separator}{year}",
            f"{day}{separator}{month}{separator}{short}",
            f"{year}{separator}{month:02d}{separator}{day:02d}",
            f"{month:02d}{separator}{day:02d}{separator}{short}",
        )
    )
    worded = rng.choice(
        (
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day:02d}-{name}-{short}",
            f"{name} {year}",
            str(year),
            f"{day}. {name} {year}",
        )
    )
    return numeric if rng.random() < 0.6 else worded


def time_of_day(rng: Random) -> str:
    """A time such as 12:26, 9.05 pm or 18:46:07."""
    hour, minute, second = rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59)
    return rng.choice(
        (
            f"{hour:02d}:{minute:02d}",
            f"{hour:02d}:{minute:02d}:{second:02d}",
            f"{hour % 12 + 1}:{minute:02d} {rng.choice(('AM', 'PM', 'am', 'pm', 'a.m.', 'p.m.'))}",
            f"{hour % 12 + 1}.{minute:02d}{rng.choice(('am', 'pm', ''))}",
        )
    )


def phone(rng: Random) -> str:
    """A telephone number."""
    return rng.choice(
        (
            f"+{rng.randint(1, 99)} {digits(rng, 1, 3)} {digits(rng, 3, 4)} {digits(rng, 4, 4)}",
            f"({digits(rng, 2, 4)}) {digits(rng, 3, 4)}-{digits(rng, 4, 4)}",
            f"{digits(rng, 2, 3)}-{digits(rng, 3, 4)} {digits(rng, 4, 4)}",
            f"{digits(rng, 2, 3)}-{digits(rng, 7, 8)}",
            f"{digits(rng, 3, 3)}-{digits(rng, 3, 4)}-{digits(rng, 4, 4)}",
            f"0{digits(rng, 8, 10)}",
        )
    )


def code(rng: Random) -> str:
    """An identifier in groups, mostly of capitals and digits."""
    group = rng.choice((_numbered, _numbered, _numbered, _mixed))
    separator = rng.choice(("", "", "-", "/", " ", ".", "_", ":"))
    text = separator.join(group(rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 4))))
    prefix = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 3)))
    return rng.choice(("{}", "{}", "{}", "#{}", "({})", "[{}]", "No. {}", prefix + "{}", prefix + "-{}")).format(text)


def _numbered(rng: Random) -> str:
    """Capitals beside capitals and digits beside digits, whose neighbours mostly tell O from 0 and I from 1."""
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 4)))
    number = rng.choice((digits(rng, 1, 8), f"{rng.randint(1, 999):0{rng.randint(2, 9)}d}"))
    return rng.choice((number, number, number, letters, letters + number, letters + number, number + letters[:2]))


def _mixed(rng: Random) -> str:
    """Characters in any order, in every third the confusable 0/O, 1/I/l, 5/S, 8/B alone."""
    alphabet = rng.choice((string.ascii_uppercase + string.digits, "0O1Il5S8B2Z6G", "0123456789abcdef"))
    return "".join(rng.choices(alphabet, k=rng.randint(1, 8)))


def quantity(rng: Random) -> str:
    """A number with a unit, a percentage, a multiplication or a fraction."""
    number = rng.choice(
        (str(rng.randint(0, 20)), str(rng.randint(0, 5000)), f"{rng.uniform(0, 100):.{rng.randint(1, 3)}f}")
    )
    return rng.choice(
        (
            f"{number}{rng.choice(('', ' '))}{rng.choice(_UNITS)}",
            f"{number}%",
            f"{rng.randint(1, 99)} {rng.choice('xX@')} {price(rng)}",
            f"{rng.randint(1, 99)}/{rng.randint(1, 99)}",
            f"{number}-{rng.randint(1, 999)}",
            f"{rng.randint(1, 12)}.{rng.randint(0, 20)}.{rng.randint(0, 20)}",
            f"{rng.choice('+-')}{number}",
        )
    )
