"""Strings of strangers, and how one sees that one of them got somewhere."""

MARK = "x-attack"
# Nothing of these may run, be taken for markup, for a formula, for a header, or for a part of a statement.
STRINGS = {
    "element": f"<{MARK}>a</{MARK}>",
    "script": "<script>window.__x=1</script>",
    "attribute": f"\" autofocus onfocus=\"window.__x=1\" data-{MARK}=\"",
    "quote": f"' onmouseover='window.__x=1' data-{MARK}='",
    "picture": f"<img src=x onerror=window.__x=1 class={MARK}>",
    "textarea": f"</textarea></title></select><{MARK}>",
    "address": "javascript:window.__x=1",
    "link": "https://evil.example/\"><x-attack>",
    "sql": "' OR 1=1; DROP TABLE operators; --",
    "sql_like": "%_\\",
    "formula": "=HYPERLINK(\"https://evil.example\",\"a\")",
    "formula_at": "@SUM(1+1)",
    "formula_minus": "-2+3+cmd|' /C calc'!A0",
    "header": "a\r\nBcc: evil@evil.example\r\nX-Attack: 1",
    "path": "../../../../etc/passwd",
    "template": "{{ 7331*1337 }}${7331*1337}<%= 7331*1337 %>",
    "bidi": "abc\u202egnp.exe\u2066x",
    "control": "a\x00b\x1b[31mc\x08",
    "long": "a" * 9000,
    "surrogate": "\U0001f9d1\u200d\U0001f4bb\ufeff\ufffd",
}
RUN = str(7331 * 1337)
# What begins a formula in a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
