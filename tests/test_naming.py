"""Names of tenants."""

import pytest

from streamd.errors import BadName
from streamd.naming import check_tenant


@pytest.mark.parametrize("name", ["default", "a", "7", "acme-berlin", "a.b_c-d", "a" * 64])
def test_a_tenant_may_be_called(name):
    assert check_tenant(name) == name


@pytest.mark.parametrize(
    "name", ["", "Acme", "..", ".", "a/b", "-a", "a-", "a" * 65, "a\n", "a b", "ü", "*"]
)
def test_a_tenant_may_not_be_called(name):
    with pytest.raises(BadName, match="lower-case letters and digits"):
        check_tenant(name)
