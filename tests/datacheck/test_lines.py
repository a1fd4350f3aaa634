"""What one line can have wrong: found, named, and nothing else blamed."""

import json
import re

import pytest
from check_rows import distinct, findings, kinds, row, write

from rmtui.datacheck.line_checks import examine
from trainer import pairs


def without(name):
    return {key: value for key, value in row().items() if key != name}


def renamed(name, other):
    return {other if key == name else key: value for key, value in row().items()}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def chat(prompt, chosen, rejected):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


SOUND = {
    "strings": row(),
    "further fields": row(source="web", n=3, tags=["a"], nested={"chosen": 1}),
    "a margin": row(margin=0.5),
    "messages": chat([user("Hi there")], [assistant("Hello")], [assistant("Go away")]),
    "several turns": chat(
        [{"role": "system", "content": "Be kind"}, user("Hi"), assistant("Yes?"), user("Why?")],
        [assistant("Because")],
        [assistant("No")],
    ),
    "dialogues without a prompt": {
        "chosen": "\n\nHuman: Hi\n\nAssistant: Hello",
        "rejected": "\n\nHuman: Hi\n\nAssistant: Go",
    },
    "message lists without a prompt": {
        "chosen": [user("Hi"), assistant("Hello")],
        "rejected": [user("Hi"), assistant("Go")],
    },
    "accents": row(chosen="Ça va à São Paulo, NÃO, Ñandú, naïve façade £10 §5 20 °C"),
    "other scripts": row(chosen="你好，世界 😀 مرحبا"),
    "separators that are no line ends": row(chosen="a\u2028b\u2029c"),
    "quotes that look like fields": row(chosen='Say "chosen": now, {"chosen": 1}'),
    "tabs and line breaks": row(chosen="a\tb\nc"),
    "a question restated": row(prompt="Who is he?", chosen="Who is he? He is a singer."),
    "a colon in the middle": row(chosen="He said: Human: a word for people."),
    "Cyrillic beside Latin": row(chosen="Слово Париж is the Russian for Paris, and МГУ-shop or Xбокс too."),
    "Greek in formulas": row(chosen="The step is Δx = 3 μm, α-helix, πr²."),
    "talk of entities": row(chosen="Write &lt; for <, and &amp; for an ampersand."),
    "one entity": row(chosen="AT&amp;T is one"),
    "TeX and code": row(chosen="$\\nu \\neq \\nabla$ and print('a\\n', 'b\\n')"),
    "letters that join": row(chosen="👩\u200d🚀 می\u200cخواهم"),
    "words struck out": row(chosen="Use <s>text</s>, or <del>text</del>."),
    "talk of special tokens": row(chosen="It is `<|endoftext|>`:\n```\n<|im_start|>user\n```"),
    "a dialogue in a block": row(chosen="Like this:\n```\nUser: Why?\nAssistant: Because.\n```"),
    "headings that speak of a response": row(chosen="Notes\n### Response times\nShort.\n### Instructions\nNone."),
    "lines of a list": row(chosen="Operating System: Linux\nUser: root\nHost: a"),
    "a no": row(prompt="Is it safe?", chosen="No", rejected="Well, one might say so, or one might not, who knows?"),
    "a letter that was offered": row(
        prompt="Which?\nA) Paris\nB) Rome", chosen="A", rejected="It is B, because Rome is a capital just as well."
    ),
    "a number": row(prompt="How many?", chosen="4", rejected="I should think that it might be five, or even more."),
    "a text that names nothing": row(prompt="What does it print?", chosen="None", rejected="An empty line."),
    "words broken without a gap": row(chosen="สวัสดี\u200bชาวโลก"),
    "question marks": row(prompt="What???", chosen="You ask me?? Why? ??", rejected="?? no ??"),
    "Russian that is no mojibake": row(chosen="СССР, РСФСР и С°С — «Рим»"),
    "rare Chinese letters": row(chosen="鐨是一个罕见的字，銆也是。"),
    "paths and formulas": row(chosen="Open C:\\users\\new\\notes, \\underline and \\nu."),
    "a prompt that the lists hold as well": chat("Hi", [user("Hi"), assistant("Hello")], [user("Hi"), assistant("Go")]),
    "a source that is a list": row(source=["web", "book"]),
    "tags of HTML": row(chosen="Write <b>bold</b>, then a < b and c > d."),
}


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("ascii", [True, False])
def test_sound_rows_are_not_blamed(tmp_path, name, ascii):
    (found,) = findings(write(tmp_path / "pairs.jsonl", [SOUND[name]], ensure_ascii=ascii))
    assert found == []


WRONG = {
    "no prompt": (without("prompt"), "missing_field"),
    "no rejected": (without("rejected"), "missing_field"),
    "upper case": (renamed("chosen", "Chosen"), "misspelt_field"),
    "a letter left out": (renamed("prompt", "promt"), "misspelt_field"),
    "a Cyrillic letter": (renamed("chosen", "сhosen"), "misspelt_field"),
    "a space": (renamed("chosen", " chosen"), "misspelt_field"),
    "another name": (renamed("rejected", "rejected_response"), "misspelt_field"),
    "null": (row(chosen=None), "wrong_type"),
    "a number": (row(rejected=7), "wrong_type"),
    "a margin beyond all bounds": (row(margin=10**400), "bad_margin"),
    "a byte order mark in a text": (row(chosen="It is \ufeffParis."), "control_character"),
    "a word broken without a gap": (row(chosen="It is Pa\u200bris."), "control_character"),
    "letters become question marks": (row(chosen="???? ?? ?????? ???"), "replacement_character"),
    "codes of characters": (row(chosen="Caf\\u00e9 \\u4f60\\u597d"), "escaped_text"),
    "UTF-8 read as Windows-1251": (row(chosen="РџСЂРёРІРµС‚ РјРёСЂ"), "mojibake"),
    "UTF-8 read as GBK": (row(chosen="好：" + "你好，世界，请提供帮助。".encode().decode("gbk", "ignore")), "mojibake"),
    "all of it between the marks of a sequence": (row(chosen="<s>It is Paris.</s>"), "special_token"),
    "turns in capitals": (row(chosen="Paris.\n\nUSER: And Italy?\nASSISTANT: Rome"), "role_marker"),
    "turns line by line": (row(chosen="Paris.\nUser: And Italy?\nAssistant: Rome"), "role_marker"),
    "turns in bold": (row(chosen="Paris.\n\n**Human:** And Italy?"), "role_marker"),
    "a heading of a turn": (row(rejected="Paris.\n\n### Instruction:\nGo on"), "role_marker"),
    "a turn of the user in an answer": (
        chat([user("Hi")], [assistant("Yes?"), user("Why"), assistant("So")], [assistant("Go")]),
        "role_marker",
    ),
    "NaN as text": (row(chosen="nan", rejected="A long answer. " * 4), "very_short"),
    "a deleted answer": (row(chosen="A long answer. " * 4, rejected="[deleted]"), "very_short"),
    "dots for an answer": (row(chosen="...", rejected="A long answer. " * 4), "very_short"),
    "message lists with other questions": (
        {
            "chosen": [user("Hi"), assistant("Hello"), user("Why?"), assistant("So")],
            "rejected": [user("Hi"), assistant("Hello"), user("How?"), assistant("Go")],
        },
        "prompts_differ",
    ),
    "another question than the prompt": (
        chat("Who are you?", [user("Hi"), assistant("Hello")], [user("Hi"), assistant("Go")]),
        "prompts_differ",
    ),
    "the prompt in one list": (
        chat([user("Hi")], [user("Hi"), assistant("Hello")], [assistant("Go")]),
        "prompt_in_one_answer",
    ),
    "a truth value": (row(chosen=False), "wrong_type"),
    "a list of texts": (row(chosen=["It is Paris."]), "wrong_type"),
    "an object": (row(chosen={"text": "Paris"}), "wrong_type"),
    "text and messages": (chat([user("Hi")], "Hello", [assistant("Go")]), "wrong_type"),
    "empty answer": (row(chosen=""), "empty_field"),
    "blank answer": (row(rejected=" \n\t "), "empty_field"),
    "empty prompt": (row(prompt=""), "empty_field"),
    "zero width": (row(chosen="\u200b\u200b"), "empty_field"),
    "blank letters": (row(chosen="\u3164\u2800"), "empty_field"),
    "an empty message": (chat([user("Hi")], [assistant("")], [assistant("Go")]), "empty_field"),
    "the same answer": (row(rejected=row()["chosen"]), "identical_answers"),
    "the same but for spaces": (row(rejected=" It is  Paris,\non the Seine. "), "identical_answers"),
    "the same but for case": (row(rejected="it is PARIS on the seine"), "nearly_identical_answers"),
    "the same, composed otherwise": (
        row(chosen="Café au lait", rejected="Cafe\u0301 au lait"),
        "nearly_identical_answers",
    ),
    "two dialogues": (
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Ho\n\nAssistant: Go"},
        "prompts_differ",
    ),
    "two message lists": (
        {"chosen": [user("Hi"), assistant("Hello")], "rejected": [user("Ho"), assistant("Go")]},
        "prompts_differ",
    ),
    "the dialogue in one answer": (
        row(prompt="\n\nHuman: Hi\n\nAssistant:", chosen="\n\nHuman: Hi\n\nAssistant: Hello"),
        "prompt_in_one_answer",
    ),
    "the prompt in both": (
        row(
            prompt="\n\nHuman: Hi\n\nAssistant:",
            chosen="\n\nHuman: Hi\n\nAssistant: Hello",
            rejected="\n\nHuman: Hi\n\nAssistant: Go",
        ),
        "prompt_in_answers",
    ),
    "the prompt as answer": (row(chosen=row()["prompt"]), "prompt_in_answers"),
    "NUL": (row(chosen="a\0b"), "nul_character"),
    "escape": (row(chosen="red \x1b[31m"), "control_character"),
    "backspace": (row(chosen="a\bb"), "control_character"),
    "half a surrogate pair": (row(chosen="a \ud83d b"), "surrogate"),
    "half a surrogate pair in the id": (row(id="a\ud83d"), "surrogate"),
    "half a surrogate pair in a field": (row(source=["a\udc00"]), "surrogate"),
    "half a surrogate pair in a message": (chat([user("Hi")], [assistant("\ud83d")], [assistant("Go")]), "surrogate"),
    "half a surrogate pair in a key": (row() | {"a\ud83d": 1}, "surrogate"),
    "end of text": (row(chosen="Paris.<|im_end|>"), "special_token"),
    "end of sequence": (row(chosen="Paris.</s>"), "special_token"),
    "instruction mark": (row(rejected="[INST] more [/INST]"), "special_token"),
    "a further turn": (row(chosen="Paris.\n\nHuman: Thanks\n\nAssistant: Welcome"), "role_marker"),
    "a turn at the start": (row(chosen="Assistant: Paris."), "role_marker"),
    "UTF-8 read as Windows-1252": (row(chosen="CafÃ© donâ€™t"), "mojibake"),
    "a lost character": (row(chosen="Caf\ufffd"), "replacement_character"),
    "a turn in Chinese": (row(chosen="好的，当然。\n\n用户：再说一次\n\n助手：好的"), "role_marker"),
    "writing turned round": (row(chosen="Paris \u202e sirap"), "control_character"),
    "look-alike letters": (row(chosen="It is Pаris, on the Seine."), "look_alike_letters"),
    "entities of HTML": (row(chosen="It&#39;s &quot;Paris&quot;."), "escaped_text"),
    "line breaks written out": (row(chosen="First\\nSecond\\n- third"), "escaped_text"),
    "quotes of another kind": (row(chosen="It\u2019s Paris", rejected="It's Paris"), "nearly_identical_answers"),
    "a margin that is text": (row(margin="big"), "bad_margin"),
    "a margin of NaN": (row(margin=float("nan")), "bad_margin"),
    "a margin below zero": (row(margin=-1), "margin_below_zero"),
    "NaN elsewhere": (row(score=float("nan")), "not_strict_json"),
    "a strange role": (chat([{"role": "human", "content": "Hi"}], [assistant("A")], [assistant("B")]), "roles"),
    "an answer by the user": (chat([user("Hi")], [user("A")], [assistant("B")]), "roles"),
    "one word against a page": (row(chosen="ok", rejected="A long answer. " * 20), "very_short"),
    "a book": (row(prompt="word " * 5000), "very_long"),
    "a list": ('["a", "b", "c"]', "not_object"),
    "null line": ("null", "not_object"),
    "single quotes": ("{'prompt': 'a'}", "invalid_json"),
    "a comma too many": (json.dumps(row())[:-1] + ",}", "invalid_json"),
    "cut off": (json.dumps(row())[:-9], "invalid_json"),
    "two objects": (json.dumps(row()) * 2, "invalid_json"),
    "plain words": ("hello", "invalid_json"),
    "nested too deeply": ('{"prompt": ' + "[" * 100_000, "invalid_json"),
    "a key twice": ('{"prompt": "Why is it?", "chosen": "a b", "chosen": "c d", "rejected": "e f"}', "duplicate_key"),
    "a key twice, escaped": (
        '{"prompt": "Why is it?", "chosen": "a b", "cho\\u0073en": "c d", "rejected": "e f"}',
        "duplicate_key",
    ),
    "not UTF-8": (json.dumps(row(chosen="X")).replace("X", "Caf\xe9").encode("latin-1") + b"\n", "encoding"),
    "a raw NUL": (json.dumps(row()).replace("Paris", "Pa\0ris"), "invalid_json"),
    "blank": ("  \t", "blank_line"),
}


@pytest.mark.parametrize("name", WRONG)
def test_defects_are_found_at_their_line(tmp_path, name):
    wrong, kind = WRONG[name]
    good = distinct(4)
    path = write(tmp_path / "pairs.jsonl", [*good[:2], wrong, *good[2:]])
    (found,) = findings(path)
    assert {line for line, _ in found} == {3}
    assert kind in [each for _, each in found]


@pytest.mark.parametrize("name", [*SOUND, *WRONG])
def test_what_the_trainer_cannot_read_is_an_error_and_nothing_else_is_lost(name):
    wrong = SOUND[name] if name in SOUND else WRONG[name][0]
    raw = wrong if isinstance(wrong, bytes) else (wrong if isinstance(wrong, str) else json.dumps(wrong)).encode()
    pair, found = examine(raw, 1)
    if isinstance(pairs.read_line(raw, 1), pairs.BadLine):
        assert pair is None
        assert len(found) == 1
    elif pair is None:
        assert any(finding.severity == "error" for finding in found)


@pytest.mark.parametrize("name", WRONG)
def test_what_was_found_is_said_in_both_languages(name):
    wrong = WRONG[name][0]
    raw = wrong if isinstance(wrong, bytes) else (wrong if isinstance(wrong, str) else json.dumps(wrong)).encode()
    for finding in examine(raw, 1)[1]:
        english, chinese = finding.render("en"), finding.render("zh")
        assert re.search("[\u4e00-\u9fff]", re.sub("'[^']*'", "", chinese)), chinese
        assert english != chinese and "{" not in re.sub("'[^']*'|\"[^\"]*\"", "", english)


def test_a_mark_at_the_start_spoils_nothing_and_one_inside_does(tmp_path):
    mark = b"\xef\xbb\xbf"
    first, second = (json.dumps(each).encode() + b"\n" for each in distinct(2))
    path = write(tmp_path / "pairs.jsonl", [mark + first, mark + second])
    assert findings(path) == [[(1, "bom"), (2, "bom_inside")]]


def test_line_ends_of_windows_are_no_finding(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [json.dumps(each).encode() + b"\r\n" for each in distinct(3)])
    assert findings(path) == [[]]


def test_the_misspelt_field_is_named(tmp_path):
    from rmtui.operations.check import check

    path = write(tmp_path / "pairs.jsonl", [*distinct(2), renamed("chosen", "Chosen")])
    (finding,) = check([path]).files[0].findings
    assert "'Chosen'" in finding.message
    assert "'chosen'" in finding.message
    assert kinds(tmp_path, *distinct(2), line=2) == []
