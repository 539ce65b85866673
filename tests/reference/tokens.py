"""Token ids of mixed-script texts by Hugging Face's tokenizers, from the vocabularies of SmolLM2 and MiniLM.

    python -m venv venv && venv/bin/pip install tokenizers==0.23.3 gguf==0.19.0 torch==2.15.0 safetensors
    interplay fetch smollm2-135m minilm-l6
    venv/bin/python tests/reference/tokens.py .deps/models

WHAT IS STORED (data/tokens_smollm2.jsonl, data/tokens_minilm.jsonl): a line each, [text, [ids]]
smollm2: byte-level BPE with the tokens and merges of the GGUF file. Its `pre` is smollm: digits are split one by one,
then GPT-2's pattern (tokenizers.pre_tokenizers.Digits and ByteLevel, as SmolLM2's own tokenizer.json has them). Control
tokens in the text are recognised, nothing is added.
minilm: tokenizer.json as it is, without its truncation and padding, with [CLS] and [SEP] around the text. [SEP] and its
like in the text are recognised.
The texts are made from seed 7: words of several scripts, emoji with modifiers and joiners, digits, punctuation, all
kinds of white space, control tokens, letters with one or more marks, and single characters drawn from all of Unicode 8.
"""

import json
import pathlib
import random
import sys
import unicodedata

import gguf
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from common import DATA

WORDS = """the of Movie genre Will they like candidate watched stars don't I'll we've He's THE Naïve café Übergröße Ångström
fiancée coöperate El Niño ¿Qué tal? ça œuvre straße İstanbul ıssız Žluťoučký kůň příliš łódź Đặng Việt Nam tiếng
Привет мир Ёлка объём Київ Ελλάδα ΌΣΟΣ σοφία مرحبا بالعالم السَّلَام שלום עולם שָׁלוֹם नमस्ते दुनिया हिन्दी বাংলা தமிழ் ไทย ภาษา
日本語 東京タワー ひらがな カタカナ ｶﾀｶﾅ 中文字符 漢字 㐀㐁 한국어 안녕하세요 ქართული Հայերեն አማርኛ ភាសាខ្មែរ ᏣᎳᎩ""".split()
EMOJI = ["😀", "🎬", "👍🏽", "👨‍👩‍👧", "🇫🇷", "❤️", "✈", "☕️", "1️⃣", "🏴‍☠️", "™", "©", "♥", "★★★☆☆"]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "—", "–", "“", "”", "’", "«", "»", "、", "。", "！", "…", "--", "://"]
SPACES = [" ", " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\r", "\u00a0", "\u3000", "\u2003", "\u2028", "\x0b", "\x0c", "\x85", "\u200b", ""]
NUMBERS = ["0", "7", "42", "1999", "(1995)", "3.14", "1,000,000", "1e-5", "½", "²", "Ⅷ", "٣٤", "१२", "①", "一二三"]
MARKS = ["\u0301", "\u0308", "\u0327", "\u0338", "\u20e3", "\u064e", "\u093f"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "’s", "n't"]
ODD = ["\x00", "\x01", "\x04", "\x06", "\x1d", "\x7f", "\ufffd", "\ufeff", "\u00ad", "\u200d", "\ue000", "\U000f0000"]
CONTROL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<file_sep>", "[SEP]", "[CLS]", "[MASK]", "[UNK]", "[PAD]"]
NEARLY = ["<|im_start", "im_end|>", "<|im_start|", "< |im_end|>", "[sep]", "[ SEP]", "<<|im_end|>>", "##ing", "Ġthe", "▁x"]


def character(rng):
    """One that Unicode 8 had already: younger ones are of no category to some of the reference's tables."""
    while True:
        c = rng.choice([rng.randrange(0x250), rng.randrange(0x3100), rng.randrange(0x10000), rng.randrange(0x20000)])
        if 0xD800 <= c < 0xE000:
            continue
        if unicodedata.ucd_3_2_0.category(chr(c)) != "Cn":
            return chr(c)


def texts():
    rng = random.Random(7)
    out = ["", " ", "  ", "\n", "a", " a", "a ", "  a  b  ", "\r\n\r\n", "don't", "12345", " 1 2", "   1", "x" * 99, "x" * 100,
           "x" * 101, "x" * 300, "ab" * 70, " " * 70, "\n" * 40 + "x", "=" * 80, "1" * 40]
    out += WORDS + EMOJI + PUNCTUATION + NUMBERS + CONTRACTIONS + ODD + CONTROL + NEARLY
    out += [f"{a}{b}" for a in ["a", " ", "1", "。"] for b in ODD + MARKS + CONTRACTIONS]
    kinds = [WORDS] * 10 + [EMOJI, PUNCTUATION, PUNCTUATION, NUMBERS, NUMBERS, CONTRACTIONS, ODD, CONTROL, NEARLY]
    for _ in range(900):
        text = rng.choice(["", "", " ", "\n"])
        for _ in range(rng.randrange(1, 7)):
            what = rng.random()
            if what < 0.8:
                text += rng.choice(rng.choice(kinds))
            elif what < 0.9:
                text += "".join(character(rng) for _ in range(rng.randrange(1, 4)))
            else:
                text += rng.choice("aeiounAE中か") + "".join(rng.choice(MARKS) for _ in range(rng.randrange(1, 3)))
            text += rng.choice(SPACES) if rng.random() < 0.8 else ""
        out.append(text)
    return list(dict.fromkeys(out))


def smollm2(folder):
    (file,) = folder.glob("*.gguf")
    fields = gguf.GGUFReader(str(file)).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, types) if kind == 3])
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def minilm(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: tokenizer.encode(text).ids


def main():
    models_folder = pathlib.Path(sys.argv[1])
    cases = texts()
    for name, encode in {"smollm2": smollm2(models_folder / "smollm2-135m"), "minilm": minilm(models_folder / "minilm-l6")}.items():
        lines = [json.dumps([text, encode(text)], separators=(",", ":"), ensure_ascii=False) for text in cases]
        (DATA / f"tokens_{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        print(f"{name}: {len(lines)} texts")


if __name__ == "__main__":
    main()
