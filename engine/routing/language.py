"""In which language a text is written: by its script, and among languages of one script by their commonest words.

Small and local: it tells about thirty languages apart and says None where it is not sure. `engine.Route` takes the code; a
caller who knows better says it (`hints={"language": "cy"}`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["language_of", "spoken"]

READ = 4000  # characters that are looked at
#: scripts with one language that most texts in them are written in: (first, last character, language)
_SCRIPTS = (
    ("\u0370", "\u03ff", "el"), ("\u0530", "\u058f", "hy"), ("\u0590", "\u05ff", "he"), ("\u0900", "\u097f", "hi"),
    ("\u0980", "\u09ff", "bn"), ("\u0a00", "\u0a7f", "pa"), ("\u0a80", "\u0aff", "gu"), ("\u0b80", "\u0bff", "ta"),
    ("\u0c00", "\u0c7f", "te"), ("\u0c80", "\u0cff", "kn"), ("\u0d00", "\u0d7f", "ml"), ("\u0e00", "\u0e7f", "th"),
    ("\u0e80", "\u0eff", "lo"), ("\u1000", "\u109f", "my"), ("\u10a0", "\u10ff", "ka"), ("\u1200", "\u137f", "am"),
    ("\u1780", "\u17ff", "km"), ("\u3040", "\u30ff", "ja"), ("\uac00", "\ud7af", "ko"), ("\u4e00", "\u9fff", "zh"),
    ("\u0600", "\u06ff", "ar"), ("\u0400", "\u04ff", "ru"),
)  # fmt: skip
#: the commonest short words of languages with Latin letters, and of those that share a script
_WORDS: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the of and to in is that it was for on are with as be at this have from or by not you what how which an "
        "can my i a me say hello write please give tell make list explain your we they there about",
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
        "hat wie was ich kann",
        "fr": "le la les de des et à en un une du est que dans qui par pour au sur pas plus ce se avec sont il "
        "elle je vous quel comment",
        "es": "el la los las de que y en un una por con no para es se del al lo como más pero sus le ya o este qué cómo mi yo",
        "it": "il lo la i gli le di che e un una per è non con si da in del della sono come più anche ma al questo qual cosa mi io",
        "pt": "o a os as de que e do da em um uma para com não é se na no por mais dos como mas ao ele das qual você eu",
        "nl": "de het een en van in is dat op te zijn met voor niet aan er om ook als maar bij wordt naar uit wat hoe ik je mijn",
        "sv": "och att det som en på är av för med den till inte om ett har de jag vi kan men var sig hur vad från du",
        "da": "og at det er en som på af for med den til ikke et har de jeg vi kan men var sig hvordan hvad fra du der",
        "nb": "og at det er en som på av for med den til ikke et har de jeg vi kan men var seg hvordan hva fra du fra",
        "fi": "ja on ei että se hän oli joka mutta kun niin kuin myös ovat tai sen mitä miten minä sinä olen voi ole",
        "pl": "i w na z się nie do że jest to o jak po co tak za od przez dla czy jego ale są mi ja może",
        "cs": "a se v na je že s z do o i to jako za by pro ale si jak co jsem jsou nebo který od po není",
        "hu": "a az és hogy nem is egy van ez meg de csak már mint volt vagy kell mi mit hogyan én lehet el ki",
        "ro": "și în de la a cu pe un o că nu este din care pentru mai se să sunt ce cum eu dar fi ca",
        "tr": "ve bir bu da de için ile ne çok daha olarak gibi var ben o mi değil olan kadar sonra nasıl nedir ama en",
        "id": "yang dan di ini itu dengan untuk dari tidak dalam pada adalah saya akan ke bisa ada apa anda juga oleh bagaimana",
        "vi": "và của là có không cho được một các những trong với này người để khi đã tôi bạn như thế nào gì",
        "cy": "y yr yn a i o ar mae ei am wedi gan fod bod ac eu hi hynny oedd beth sut rwy dw chi ni mewn er yw",
        "ga": "an agus na ar a is i le go do tá sé ag mé bhí ní sin air ach nach cad conas",
        "ca": "el la els les de i que en un una per amb no és es del al com més però seva què jo són",
        "sw": "ya na wa kwa ni katika za la kuwa hii cha yake au kama hiyo lakini sana mimi gani nini",
        "uk": "і в на не що з до та як у за це він від але для про є його є ви я чи",
        "ru": "и в не на что он с как это по но из у за от так для о же вы я бы к мы",
        "bg": "и на да не се от за в е с по са като че това до към ще са или аз какво",
        "fa": "و در به از که این را با است برای آن یک تا می بر خود هم شد من چه",
        "ar": "في من على أن إلى هذا عن مع ما لا هو كان التي الذي هل كيف أنا هذه",
        "ur": "کے میں کی ہے اور سے کا کو پر یہ کہ نے ہیں نہیں بھی تھا کیا",
    }.items()
}
#: letters that settle it among relatives
_LETTERS = {
    letter: code
    for code, letters in {
        "es": "¿¡ñ", "uk": "їєґ", "ru": "ыэ", "de": "ß", "pl": "ł", "cs": "řů", "hu": "őű", "ro": "șț", "pt": "ãõ", "tr": "ğı",
        "cy": "ŵŷ", "vi": "đươ", "fa": "پ", "ur": "ےٹں",
    }.items()
    for letter in letters
}  # fmt: skip
_TOKENS = re.compile(r"[^\W\d_]+")
_KANA = re.compile("[\u3040-\u30ff]")
LEAST = 2  # common words before a guess


def language_of(text: str) -> str | None:
    """The code of the language a text is written in (ISO 639-1), or None where that is not sure."""
    text = text[:READ].lower()
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return None
    counts: dict[str, int] = {}
    for char in letters:
        if char >= "\u0370":
            for first, last, code in _SCRIPTS:
                if first <= char <= last:
                    counts[code] = counts.get(code, 0) + 1
                    break
    script = max(counts, key=counts.__getitem__, default=None)
    if script is not None and counts[script] * 3 >= len(letters):
        if script == "zh" and len(_KANA.findall(text)) * 10 >= counts[script]:
            return "ja"
        if script == "ru":
            return _by_words(text, ("ru", "uk", "bg")) or "ru"
        if script == "ar":
            return _by_words(text, ("ar", "fa", "ur")) or "ar"
        return script
    return _by_words(text, [code for code in _WORDS if code not in ("ru", "uk", "bg", "ar", "fa", "ur")])


def _by_words(text: str, codes: Iterable[str]) -> str | None:
    """The language with most of its common words in the text, if it stands out."""
    words = _TOKENS.findall(text)
    scores = {code: float(sum(word in _WORDS[code] for word in words)) for code in codes}
    for letter, code in _LETTERS.items():
        if code in scores and letter in text:
            scores[code] += 1.5 * min(3, text.count(letter))
    ranked = sorted(scores.items(), key=lambda entry: -entry[1])
    (best, score), second = ranked[0], ranked[1][1] if len(ranked) > 1 else 0.0
    if score < min(LEAST, len(words)) or score == 0 or score == second:
        return None
    return best


def spoken(request: Mapping[str, Any]) -> str:
    """The text whose language counts: the latest that a person wrote."""
    for message in reversed(request.get("messages") or ()):
        if message.get("role") == "user":
            text = " ".join(p["text"] for p in message.get("parts") or () if p.get("type") == "text" and p.get("text"))
            if text:
                return text
    for name in ("prompt", "query", "text", "input"):
        value = request.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], str):
            return value[0]
    return ""
