from scripts.markdown import table


def test_a_table_has_its_header_a_line_and_its_rows() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
