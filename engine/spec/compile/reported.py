"""What the operation compiler reports."""

RULES = {
    "one-verb": "A call has exactly one of get, post, put, patch and delete.",
    "one-payload": "A call sends at most one of body, form, multipart, binary, xml and jsonl.",
    "one-scheme": "An `auth` table signs in exactly one way: bearer, header, query, basic, body, sign or any.",
    "one-verification": "A `webhooks` table says which signature came and verifies it in exactly one way: hmac, ed25519 or equals.",
    "webhook-example": "An example of `webhooks` is not verified as it says, or does not give what it says.",
    "unknown-signer": "`sign` names a signature scheme the engine does not have.",
    "unknown-identity": "`source` of a token names an identity of the machine that the engine cannot ask for.",
    "remote-identity": "A spec that comes from elsewhere asks for an identity of the machine (RELIABILITY A1).\n\nSuch a token "
    "would hand the machine's own credentials to a stranger's host. Only packaged specs and the user's own may ask.",
    "unknown-parameter": "`params` lists a name that is not a parameter of the operation.",
    "neutral-parameter": "`native_params` lists a field of requests to every provider, which belongs into `params`.",
    "no-evidence": "A capability is `true` but nothing in the spec can express it.\n\nSee the table of SPEC_LANGUAGE 11: "
    "`vision` wants an `image` entry in `parts`, `tools` a template that reads `tools`, a place for results and a `tool_call` "
    "output, and so on. A flag with `false` needs no evidence.",
}
