"""What Korean documents hold beside sentences."""

from __future__ import annotations

from random import Random

from ocrformer.training.values import phone

_LETTERS = "".join(map(chr, range(0x3131, 0x3164)))
_CONSONANTS = "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ"


def phrase(rng: Random) -> str:
    """A date, amount or counter as Korean documents write them, or letters that stand for themselves."""
    number, day, month, year = rng.randint(1, 999), rng.randint(1, 31), rng.randint(1, 12), rng.randint(1950, 2030)
    return rng.choice(
        (
            f"{year}년 {month}월 {day}일",
            f"{number * 100:,}원",
            f"제{number % 30 + 1}{rng.choice('장절조항회권호')}",
            f"{number}{rng.choice(('명', '개', '쪽', '번', '층', '점', '회', '세', '시간', '분', '%'))}",
            f"({rng.choice(('주', '재', '사', '유'))})",
            f"{rng.choice(('전화', '팩스', 'TEL', '문의'))} {phone(rng)}",
            f"{rng.choice(('합계', '금액', '부가세', '카드', '현금', '거스름돈', '과세'))} {number * 10:,}",
            f"{'가나다라마바사아자차카타파하'[number % 14]}.",
            rng.choice("①②③④⑤⑥⑦⑧⑨⑩"),
            rng.choice(("[{}점]", "({}점)", "{}번", "[{}]", "({})", "{}.", "{})")).format(number % 50 + 1),
            rng.choice(
                ("〈보기〉", "<보기>", "[그림]", "〈표〉", "(가)", "(나)", "(다)", "ㄱ.", "ㄴ.", "ㄷ.", "ㄱ, ㄴ")
            ),
            f"{rng.choice(_CONSONANTS)}{rng.choice('.),:')}",
            ", ".join(rng.sample(_CONSONANTS, rng.randint(2, 4))),
            f"‘{rng.choice(_LETTERS)}’{rng.choice(('은', '는', '이', '과', ''))}",
            rng.choice("ㅋㅎㅠㅜㅇㅁㅡ") * rng.randint(1, 8),
        )
    )


def quoted(rng: Random, text: str) -> str:
    """A text, or its first words, in the brackets and quotes that Korean books use for titles and speech."""
    words = text.split(" ")
    count = rng.randint(1, len(words))
    left, right = rng.choice(("『』", "「」", "《》", "〈〉", "‘’", "“”", "()", "<>", "[]"))
    return " ".join((f"{left}{' '.join(words[:count])}{right}", *words[count:]))
