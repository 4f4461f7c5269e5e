from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prerec_pyro.data.readers import read_online_retail
from prerec_pyro.data.statistics import describe
from prerec_pyro.errors import InputError

ROWS = [
    ("536365", "WHITE LANTERN", "6", "2010-12-01 08:26:00"),
    ("536365", "", "1", "2010-12-01 08:26:00"),
    ("536365", "CREAM CUPID ", "6", "2010-12-01 08:26:00"),
    ("C536366", "CREAM CUPID", "-6", "2010-12-01 08:27:00"),
    ("536365", "?", "6", "2010-12-01 08:26:00"),
    ("536367", " ", "6", "2010-12-01 08:28:00"),
    ("C536366", "NA", "-1", "2010-12-01 08:27:00"),
]
FRAME = pd.DataFrame(ROWS, columns=["InvoiceNo", "Description", "Quantity", "InvoiceDate"])


def check(path: Path) -> None:
    domain = read_online_retail(path)
    assert domain.item_ids.tolist() == ["WHITE LANTERN", "CREAM CUPID ", "CREAM CUPID", "?", "NA"]
    assert domain.item_texts.tolist() == ["WHITE LANTERN", "CREAM CUPID", "CREAM CUPID", "?", "NA"]
    assert domain.user_ids.tolist() == ["536365", "C536366"]
    assert domain.item_index.tolist() == [0, 1, 3, 2, 4]  # the order of the file, cancelled invoices kept
    assert domain.timestamps.tolist() == [1_291_191_960] * 3 + [1_291_192_020] * 2
    assert domain.provenance["dropped"] == {"empty_description": 2}
    assert domain.name == "online-retail"


def test_csv_packed_csv_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    FRAME.to_csv(path, index=False)
    check(path)
    packed = tmp_path / "packed" / "retail.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(path.read_bytes()))
    check(packed)
    check(packed.parent)


def test_latin1_with_month_first_dates(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    changed = FRAME.assign(InvoiceDate=pd.to_datetime(FRAME["InvoiceDate"]).dt.strftime("%m/%d/%Y %-H:%M"))
    changed.loc[0, "Description"] = "£ SIGN"
    changed.to_csv(path, index=False, encoding="latin-1")
    domain = read_online_retail(path)
    assert domain.item_ids[0] == "£ SIGN"
    assert domain.timestamps.tolist() == [1_291_191_960] * 3 + [1_291_192_020] * 2
    assert "read as Latin-1" in domain.provenance["notes"][0]


def test_excel(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    path = tmp_path / "Online Retail.xlsx"
    numbers = [int(n) if n.isdigit() else n for n in FRAME["InvoiceNo"]]
    dates = pd.to_datetime(FRAME["InvoiceDate"])
    typed = FRAME.assign(InvoiceNo=numbers, InvoiceDate=dates, Description=FRAME["Description"].replace("", None))
    typed.to_excel(path, index=False)
    check(path)
    path.write_bytes(b"no workbook")
    with pytest.raises(InputError, match=r"cannot be read as .xlsx"):
        read_online_retail(path)


def test_excel_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "retail.xlsx"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"needs openpyxl; `pip install 'prerec-pyro\[excel\]'`"):
        read_online_retail(path)


def test_messages_name_lines_of_the_file_not_of_the_kept_rows(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    FRAME.assign(InvoiceDate=[*FRAME["InvoiceDate"][:6], "never"]).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"retail.csv, column 'InvoiceDate' \(timestamp\): line 8: 'never'"):
        read_online_retail(path)


def test_what_is_not_online_retail(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("InvoiceNo,Quantity\n1,2\n")
    with pytest.raises(InputError, match=r"a.csv: no column 'Description', 'InvoiceDate'; it has"):
        read_online_retail(tmp_path / "a.csv")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"unknown kind of file"):
        read_online_retail(tmp_path / "a.json")
    (tmp_path / "b.csv").write_text("x\n")
    with pytest.raises(InputError, match=r"found a.csv, b.csv; name the file"):
        read_online_retail(tmp_path)
    with pytest.raises(InputError, match=r"no such file"):
        read_online_retail(tmp_path / "c.csv")


def test_the_real_file_gives_table_3_of_the_paper(real_data: Path) -> None:
    domain = read_online_retail(real_data / "online-retail")
    result = describe(domain)
    assert result["table3"] == {"#Items": 4_223, "#Users": 24_446, "#Inters": 540_455}
    assert result["num_queries"] == 516_009  # the paper's #Unseen
    assert domain.provenance["dropped"] == {"empty_description": 1_454}
    assert (result["first_time"], result["last_time"]) == (
        "2010-12-01T08:26:00+00:00",
        "2011-12-09T12:50:00+00:00",
    )
    # The order of the file within an invoice, one invoice at a time.
    raw = pd.read_csv(next((real_data / "online-retail").iterdir()), dtype=str, keep_default_na=False)
    raw = raw[raw["Description"] != ""]
    for row in np.linspace(0, domain.num_users - 1, 5).astype(int):
        own = raw[raw["InvoiceNo"] == domain.user_ids[row]].sort_values("InvoiceDate", kind="stable")
        part = slice(*domain.offsets[row : row + 2])
        assert domain.item_ids[domain.item_index[part]].tolist() == own["Description"].tolist()
