"""Keys of any kind, as property tests draw them."""

from hypothesis import strategies as st

# what S3 and file systems allow and URLs mangle, more often than chance would give it
troublesome = st.sampled_from(
    [
        "/",
        "//",
        ".",
        "..",
        "./",
        "~",
        "~-",
        "?",
        "#",
        "~2E",
        "%",
        "%2F",
        "\\",
        "\n",
        "\x7f",
        "_tiles",
        "_lambdazoom",
        "é",
        "e\u0301",
        "\udcff",
        "\x85",
    ]
)
keys = st.lists(st.one_of(troublesome, st.text(st.characters(exclude_categories=["Cs"]), max_size=6)), max_size=8).map("".join)

# where orders differ: around the separators, the escapes, and the surrogates' place among the code points
near = st.text(st.sampled_from(' !"#-.0/az~\x01\x1f\ud7ff\udc80\udcff\ue000\ue001\uffff\U0001f600'), max_size=8)
