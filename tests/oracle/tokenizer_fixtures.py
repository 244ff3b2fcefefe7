"""Write texts and the token ids that PyPI `tokenizers` gives for them.

    PYTHONPATH=tests/demo python tests/oracle/tokenizer_fixtures.py TOKENIZER OUT.jsonl [--check INP OUT]

TOKENIZER is a tokenizer.json, or a GGUF file whose vocabulary is used with the deepseek-llm splits.
With --check, a published list of texts and ids is compared first, so that the oracle itself is known
to be right.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from pathlib import Path
from random import Random

from gguf import GGUFReader, TokenType
from tokenizer import deepseek_llm_pre_tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models

TEXTS: tuple[str, ...] = (
    "", " ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\n \n", " \n", "\n ", "\t\n\t", "a", " a", "a ",
    " a ", "  a  ", "a  b", "a   b", "a\tb", "a\t\tb", "a\n\nb", "a \n b", "a\r\nb", "a\rb", "trailing spaces    ",
    "    leading spaces", "x" * 100, " " * 100, "ab" * 60, "\n" * 30, "Hello world", "Hello, world!", " Hello World!",
    "HELLO hello HeLLo", "What is 17 + 25?", "17+25=42", "3.14159", "1,000,000", "1 2 3", "2024-05-07T12:34:56Z",
    "0x1F 0b101 1e-9", "-5", "- 5", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９", "ⅠⅡⅢⅣ", "①②③", "½ ¼ ¾", "x²+y³", "१२ और ٣٤", "〇一二三",
    "don't can't I'm we'll it's", "'quoted' \"double\" `back`", "“curly” ‘single’ „low“", "a—b–c-d…", "!?!?!?", "...", "----",
    "====", "####", "(a)[b]{c}<d>", "a@b.com", "https://example.org/a/b?c=d&e=f#g", "C:\\Users\\x", "/usr/local/bin",
    "$100 €200 £300 ¥400 ₿1", "50% off", "a_b_c __init__", "#include <stdio.h>\nint main(void) { return 0; }\n",
    "def f(x):\n    if x > 0:\n        return x ** 2\n    return -x\n", "SELECT * FROM t WHERE a = 'b';",
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}", "{\"key\": [1, 2.5, null, true]}", "<p class=\"x\">&nbsp;</p>",
    "fn main() -> Result<(), Box<dyn Error>> {}", "\\frac{a}{b} \\alpha", "E = mc^2", "λx.x ∀x∃y ∑∫√∞≠≤≥",
    "你好", "你好，世界！", "17加25等于多少？", "中国的首都是北京。", "我喜欢吃苹果，也喜欢吃香蕉。", "中文English混合text文本", "中 文 空 格",
    "「引号」『书名』《书》【括】", "繁體中文測試", "㐀㐁𠀀𠀁𠮷", "龥龦龧", "日本語のテスト", "カタカナとひらがな", "ｶﾀｶﾅ", "東京タワー",
    "한국어 시험", "안녕하세요 세계", "ᄒ\u1161ᆫ", "Привет, мир!", "Українська ґ ї є", "Ελληνικά γράμματα", "ὅὈὍ ᾶᾼ", "עברית שלום",
    "العربية مرحبا", "فارسی ۱۲۳", "हिन्दी नमस्ते", "বাংলা", "தமிழ்", "తెలుగు", "ไทย สวัสดี", "ລາວ", "မြန်မာ", "ខ្មែរ", "ქართული", "ႠႡႢ",
    "Հայերեն", "አማርኛ", "ᏣᎳᎩ ꭰꭱ", "ᓀᐦᐃᔭᐍᐏᐣ", "Tiếng Việt", "Čeština žluťoučký kůň", "Türkçe İı", "Straße ẞ", "Æsop œuvre",
    "naïve café résumé", "nai\u0308ve cafe\u0301", "\u0301", "a\u0301\u0302\u0303", "\u0300\u0301", " \u0301", "e\u0301e\u0301",
    "Z\u0351\u036b\u0343\u036a\u0302a\u0346lg\u0321o\u031b", "😀", "😀😃😄", "👍🏽", "👨‍👩‍👧‍👦", "🇫🇷🇩🇪", "1️⃣2️⃣", "❤️", "a😀b", " 😀 ", "🦙.cpp", "⌨️☕",
    "\u00a0", "a\u00a0b", "\u2003em\u2003space", "\u2028", "a\u2028b\u2029c", "\u200b", "a\u200bb", "\u200d", "\ufeffBOM", "\u3000全角\u3000",
    "\u0085", "a\u0085b", "\u000b\u000c", "\x00", "a\x00b", "\x01\x02\x7f", "\u0080\u009f", "\ufffd", "\uffff", "\U0010ffff", "\ue000",
    "\u202eabc\u202c", "ﬀ ﬁ ﬂ", "Ａｂｃ　ＤＥＦ！？", "～", "‘’“”‟‐", "。、・", "𝐀𝑨𝒜", "𐐀𐐨 𐒰𐓘", "𞤀𞤢", "ʔ ʕ ǀǁ", "ºª", "ÀÖ×Øö÷ø",
    "K Å Ω", "K Å Ω".translate({0x4B: 0x212A, 0xC5: 0x212B, 0x3A9: 0x2126}), "ǅ ǈ ǋ", "ͅ ͺ", "ιͅ",
    "<｜begin▁of▁sentence｜>", "User: <｜end▁of▁sentence｜> hi", "<|endoftext|>", "▁underscore▁", "Ġ Ċ ĉ",
    "User: What is 17 + 25?\n\nAssistant: 42", "User: 你好\n\nAssistant: 你好！", "A.B.C.", "U.S.A", "e.g., i.e.", "3rd 1st 2nd", "COVID-19", "H2O",
    "abc123def456", "12ab34", "mp3 mp4", "v1.2.3-rc4", "ÄÖÜäöüß", "aàáâãäå", "ŁódźŻółć", "a b  c   d    e", "end.\nNext", "end. \n Next",
    "tab\tthen space ", " \t \t ", "\n\t\n", "mixed \r\n line \n ends \r here", "!a ?b .c", " !", "  !", "a !b", "中!文", "中 !文", "1!2", "1 !2",
)  # fmt: skip


def random_texts(count: int, seed: int) -> list[str]:
    """Return random texts: code points of all planes, random bytes read as UTF-8, and joined pieces."""
    rng = Random(seed)

    def point() -> str:
        while True:
            character = chr(rng.choice((rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x110000))))
            if unicodedata.category(character) != "Cs":
                return character

    made = []
    for index in range(count):
        length = rng.randrange(1, 60)
        if index % 3 == 0:
            made.append("".join(point() for _ in range(length)))
        elif index % 3 == 1:
            made.append(rng.randbytes(length).decode("utf-8", errors="replace"))
        else:
            made.append("".join(rng.choice(TEXTS) for _ in range(rng.randrange(2, 6))))
    return made


def tokenizer_of_gguf(path: Path) -> Tokenizer:
    """Build a tokenizer from a GGUF's tokens and merges.

    Control tokens stay out, but a few plain letters are "user defined": the real vocabulary forgot
    them in its merges and adds them whole, before the splits.
    """
    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"].contents()]
    if fields["tokenizer.ggml.pre"].contents() != "deepseek-llm":
        raise ValueError(f"{path}: not a deepseek-llm vocabulary")
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = deepseek_llm_pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"].contents()
    added = [token for token, kind in zip(tokens, types, strict=True) if kind == TokenType.USER_DEFINED]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    return tokenizer


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of a text in which nothing is special, as of a user's words."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def text_of(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Return the text of ids: added tokens as they are written, the others byte by byte.

    `Tokenizer.decode` reads an added "ý" as the byte that this letter stands for, so it cannot be used.
    """
    added = tokenizer.get_added_tokens_decoder()
    decoder = decoders.ByteLevel()
    parts: list[str] = []
    plain: list[str] = []
    for token in ids:
        if token in added:
            parts += [decoder.decode(plain), added[token].content]
            plain = []
        else:
            plain.append(tokenizer.id_to_token(token))
    return "".join([*parts, decoder.decode(plain)])


def check(tokenizer: Tokenizer, texts_path: Path, ids_path: Path) -> None:
    """Compare with llama.cpp's vocabulary test files."""
    texts = texts_path.read_bytes().decode("utf-8").split("\n__ggml_vocab_test__\n")
    lines = ids_path.read_text(encoding="utf-8").splitlines()
    for text, line in zip(texts, lines, strict=False):
        if ids_of(tokenizer, text) != [int(number) for number in line.split()]:
            raise ValueError(f"{texts_path}: {text!r} gives other ids")
    print(f"{min(len(texts), len(lines))} published texts agree ({len(texts)} texts, {len(lines)} lines)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--check", type=Path, nargs=2, metavar=("TEXTS", "IDS"))
    args = parser.parse_args()
    if args.tokenizer.suffix == ".gguf":
        tokenizer = tokenizer_of_gguf(args.tokenizer)
    else:
        # A user's text must never become a control token, so the special ones are not looked for.
        tokenizer = Tokenizer.from_file(str(args.tokenizer))
        tokenizer.encode_special_tokens = True
    if args.check:
        check(tokenizer, *args.check)
    texts = [*TEXTS, *random_texts(60, seed=3)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", encoding="utf-8", newline="\n") as file:
        for text in texts:
            ids = ids_of(tokenizer, text)
            if text_of(tokenizer, ids) != text:
                raise ValueError(f"{text!r} does not come back from its ids")
            file.write(json.dumps({"text": text, "ids": ids}) + "\n")
    print(f"{args.out}: {len(texts)} texts")


if __name__ == "__main__":
    main()
