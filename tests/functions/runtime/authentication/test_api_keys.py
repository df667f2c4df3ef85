from __future__ import annotations

import pytest

from common.errors import InvalidSetting
from functions.runtime.authentication.api_keys import ApiKeys
from functions.runtime.errors import Unauthenticated

SHOP, STORE = "s" * 24, "t" * 24


def test_a_key_names_its_caller() -> None:
    keys = ApiKeys.parse(f"shop:{SHOP}, store: {STORE},")
    assert [keys.caller(SHOP), keys.caller(STORE)] == ["shop", "store"]


@pytest.mark.parametrize("key", [None, "", SHOP[:-1], SHOP + "s", "é" * 24, "\udcff"])
def test_unknown_key_is_refused_and_not_shown(key: str | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        ApiKeys.parse(f"shop:{SHOP}").caller(key)
    assert SHOP not in str(refused.value)


@pytest.mark.parametrize("text", [SHOP, f":{SHOP}", f"shop:{SHOP},shop:{STORE}", ",", f"shop:{SHOP[:10]}", f"shop:{SHOP},{STORE}"])
def test_invalid_keys_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        ApiKeys.parse(text)
    assert SHOP[:10] not in str(refused.value)
    assert STORE[:10] not in str(refused.value)
