use super::*;

/// Reads bytes as the file `t.csv`.
fn read(bytes: &[u8]) -> Result<Csv, String> {
    read_within(bytes, &Limits::default())
}

fn read_within(bytes: &[u8], limits: &Limits) -> Result<Csv, String> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("aigate-table-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("t.csv");
    std::fs::write(&path, bytes).unwrap();
    let csv = read_csv_within(&path, limits).map_err(|error| error.to_string());
    std::fs::remove_dir_all(&folder).unwrap();
    csv
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).unwrap_err()
}

fn words(values: &[Option<&str>]) -> Column {
    Column::Words(values.iter().map(|value| value.map(str::to_owned)).collect())
}

#[test]
fn a_plain_file_becomes_columns_of_numbers_and_words() {
    let csv = read(b"a,b\n1,x\n-2.5e1,\"y, \"\"z\"\"\"\n").unwrap();
    assert_eq!(csv.table.names, ["a", "b"]);
    assert_eq!(csv.table.column("a"), Some(&Column::Numbers(vec![1.0, -25.0])));
    assert_eq!(csv.table.column("b"), Some(&words(&[Some("x"), Some("y, \"z\"")])));
    assert_eq!(csv.table.rows, 2);
    assert_eq!(csv.notes, Vec::<String>::new());
}

#[test]
fn the_fingerprint_names_the_file_and_its_content() {
    let print = read(b"a\n1\n").unwrap().fingerprint;
    // printf 'a\n1\n' | sha256sum
    assert_eq!(print.sha256, "309b0e45a73d3fc5325e2b6ed0a01ef8b9cde6b05a5633c1f893f970d52bfddc".to_owned());
    assert_eq!((print.file.as_str(), print.bytes, print.rows, print.columns), ("t.csv", 4, 1, 1));
}

#[test]
fn a_ragged_row_is_refused_with_its_line_and_the_first_column_amiss() {
    assert_eq!(
        refusal(b"a,b,c\n1,2,3\n\n1,2\n"),
        "t.csv: line 4, column `c`: the row has 2 fields, but the header has 3"
    );
    assert_eq!(
        refusal(b"a,b\n1,2,3\n"),
        "t.csv: line 2, column 3: the row has 3 fields, but the header has 2"
    );
}

#[test]
fn a_line_is_counted_within_quoted_fields_and_by_any_line_end() {
    assert!(refusal(b"a,b\n1,\"x\ny\nz\"\n1\n").starts_with("t.csv: line 5, "));
    assert!(refusal(b"a,b\r\n1,2\r\n1\r\n").starts_with("t.csv: line 3, "));
    assert!(refusal(b"a,b\r1,2\r1\r").starts_with("t.csv: line 3, "));
}

#[test]
fn a_file_without_rows_is_refused() {
    assert_eq!(refusal(b""), "t.csv: the file is empty");
    assert_eq!(refusal(b"\xef\xbb\xbf"), "t.csv: the file has only blank lines");
    assert_eq!(refusal(b"\n\r\n\n"), "t.csv: the file has only blank lines");
    assert_eq!(refusal(b"a,b\n"), "t.csv: the file has a header but no rows");
    assert_eq!(refusal(b"a,b"), "t.csv: the file has a header but no rows");
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_place() {
    assert_eq!(
        refusal(b"a,name\n1,x\n2,Andr\xe9\n"),
        "t.csv: line 3, column `name`: byte 0xe9 is not UTF-8 text; save the file as UTF-8"
    );
    assert!(refusal(b"a,gr\xf6sse\n1,2\n").starts_with("t.csv: line 1, column 2: byte 0xf6"));
}

#[test]
fn wide_encodings_are_named() {
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    assert_eq!(refusal(&wide("\u{feff}a,b\n1,2\n")), "t.csv: line 1: is UTF-16 text; save it as UTF-8");
    assert_eq!(refusal(&wide("a,b\n1,2\n")), "t.csv: line 1: is UTF-16 text; save it as UTF-8");
    assert!(refusal(b"\xfe\xff\0a\0,").contains("UTF-16"));
    assert!(refusal(b"\xff\xfe\0\0a\0\0\0").contains("UTF-32"));
}

#[test]
fn other_kinds_of_file_are_named() {
    assert!(refusal(b"PK\x03\x04....").contains("spreadsheet"));
    assert!(refusal(b"\x1f\x8b\x08....").contains("gzip"));
    assert!(read_csv(&std::env::temp_dir()).unwrap_err().to_string().ends_with("is a folder, not a file"));
    let absent = read_csv(Path::new("/nowhere/at-all.csv")).unwrap_err().to_string();
    assert!(absent.starts_with("at-all.csv: cannot be read: "), "{absent}");
}

#[test]
fn a_utf8_byte_order_mark_is_left_out_and_noted() {
    let csv = read(b"\xef\xbb\xbfa,b\n1,2\n").unwrap();
    assert_eq!(csv.table.names, ["a", "b"]);
    assert!(csv.notes[0].contains("byte order mark"));
    assert_eq!(
        refusal(b"\xef\xbb\xbfa,b\n1\n"),
        "t.csv: line 2, column `b`: the row has 1 fields, but the header has 2"
    );
}

#[test]
fn a_nul_byte_is_refused_with_its_place() {
    let message = refusal(b"a,b\n1,2\n1,x\0y\n");
    assert!(message.starts_with("t.csv: line 3, column `b`: the field holds a NUL byte"), "{message}");
}

#[test]
fn a_quote_that_is_never_closed_is_refused_where_it_opens() {
    let message = "t.csv: line 3, column 2: a quote opens here that is never closed";
    assert_eq!(refusal(b"a,b,c\n1,2,3\n1,\"2,3\n4,5,6\n"), message);
    assert_eq!(refusal(b"a,b,c\n1,2,3\n1,\"2\"\",3\n4,5,6"), message);
    assert_eq!(refusal(b"\"a,b\n1,2\n"), "t.csv: line 1, column 1: a quote opens here that is never closed");
    assert!(read(b"a,b\n1,\"\"\n2,\"x\"\"\"").is_ok());
    assert!(read(b"a,b\n1,5\" pipe\n").is_ok());
}

#[test]
fn empty_and_doubled_names_are_refused_by_number() {
    assert!(refusal(b"a,,c\n1,2,3\n").starts_with("t.csv: line 1, column 2: the header has no name here"));
    let message = refusal(b"a,b, a\n1,2,3\n");
    assert!(
        message.starts_with("t.csv: line 1, column 3: the header names `a` twice, in column 1"),
        "{message}"
    );
}

#[test]
fn other_delimiters_are_detected_and_noted() {
    for (text, name) in
        [("a;b,c;d\n1;2;3\n", "semicolon"), ("a\tb\td\n1\t2\t3\n", "tab"), ("a|b|d\n1|2|3", "bar")]
    {
        let csv = read(text.as_bytes()).unwrap();
        assert_eq!(csv.table.column("d"), Some(&Column::Numbers(vec![3.0])));
        assert!(csv.notes[0].contains(name), "{:?}", csv.notes);
    }
    assert_eq!(read(b"\"a;b;c\",d\n1,2\n").unwrap().table.names, ["a;b;c", "d"]);
}

#[test]
fn each_mark_for_a_missing_value_is_read_as_one_and_counted() {
    for mark in ["", "NA", "N/A", "NaN", "null", "None", "?", "-", " NA "] {
        let csv = read(format!("a,b,c\n1,x,1\n{mark},{mark},2\n").as_bytes()).unwrap();
        assert!(csv.table.columns[0].is_missing(1) && !csv.table.columns[0].is_missing(0), "{mark:?}");
        assert_eq!(csv.table.columns[1], words(&[Some("x"), None]), "{mark:?}");
        assert_eq!(csv.notes.is_empty(), mark.is_empty(), "{:?}", csv.notes);
    }
    // Words that are values in many files.
    assert_eq!(read(b"a,b\nnone,na\n").unwrap().table.columns[0], words(&[Some("none")]));
    assert_eq!(read(b"a,b\n1,\nNA,\n").unwrap().table.columns[1].missing(), 2);
}

#[test]
fn decimal_commas_are_not_guessed_but_noted() {
    let csv = read(b"a;b\n1,5;1\n2,25;2\n").unwrap();
    assert_eq!(csv.table.columns[0], words(&[Some("1,5"), Some("2,25")]));
    assert!(
        csv.notes[1].contains("`a` is read as words: 2 of its values look like `1,5`"),
        "{:?}",
        csv.notes
    );
}

#[test]
fn one_odd_value_among_numbers_is_noted_with_its_line() {
    let csv = read(b"a,b\n1,1\n2,1\nabout 3,1\n").unwrap();
    assert!(
        csv.notes[0].contains("1 of 3 values are not numbers, the first is `about 3` in line 4"),
        "{:?}",
        csv.notes
    );
}

#[test]
fn infinite_and_huge_numbers_are_no_numbers() {
    for odd in ["inf", "-Infinity", "1e999", "1e101", "+nAn", "0x10", "1_000"] {
        let csv = read(format!("a,b\n{odd},1\n").as_bytes()).unwrap();
        assert_eq!(csv.table.columns[0], words(&[Some(odd)]));
    }
    let csv = read(b"a,b\n+1.5E+3,.5\n").unwrap();
    assert_eq!(csv.table.columns, [Column::Numbers(vec![1500.0]), Column::Numbers(vec![0.5])]);
}

#[test]
fn a_header_of_numbers_is_noted() {
    assert!(read(b"1,2\n3,4\n").unwrap().notes[0].contains("is the header missing?"));
}

#[test]
fn a_file_beyond_a_limit_is_refused_with_the_limit() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let bytes = b"a,b\n1,2\n3,4\n5,6666\n";
    let refused = |change| read_within(bytes, &limits(change)).unwrap_err();
    assert_eq!(refused(|l| l.bytes = 10), "t.csv: has more than 10 bytes, the most that is read");
    assert_eq!(
        refused(|l| l.rows = 2),
        "t.csv: line 4: there are more than 2 rows, the most that is read with 2 columns"
    );
    assert!(refused(|l| l.cells = 5).starts_with("t.csv: line 4: there are more than 2 rows"));
    assert_eq!(refused(|l| l.columns = 1), "t.csv: line 1: has 2 columns; 1 are the most");
    assert!(
        refused(|l| l.field = 3)
            .starts_with("t.csv: line 4, column `b`: the field has 4 bytes, 3 are the most")
    );
    assert!(read_within(bytes, &limits(|l| (l.rows, l.cells, l.columns, l.field) = (3, 6, 2, 4))).is_ok());
}

#[test]
fn an_unknown_column_comes_with_the_nearest_name() {
    let table = read(b"amount,Default\n1,2\n").unwrap().table;
    assert_eq!(
        table.no_column("defualt").to_string(),
        "there is no column `defualt`; did you mean `Default`?"
    );
    assert_eq!(table.no_column("zzz").to_string(), "there is no column `zzz`; there are `amount`, `Default`");
}

#[test]
fn rows_and_columns_are_selected_by_number_and_name() {
    let table = read(b"a,b\n1,x\n2,y\n3,\n").unwrap().table;
    let picked = table.select(&[2, 0, 9]);
    assert_eq!(picked.columns[1], words(&[None, Some("x"), None]));
    assert!(picked.columns[0].is_missing(2) && picked.rows == 3);
    assert_eq!(table.without("a").names, ["b"]);
}

#[test]
fn a_row_is_found_again_in_its_line_of_the_file() {
    let path = std::env::temp_dir().join(format!("aigate-line-{}.csv", std::process::id()));
    std::fs::write(&path, "\u{feff}a;b\n1;\"x\ny\"\n\n2;z\n").unwrap();
    let told = |row| locate(TableError::new("is wrong").in_column("b").at_row(row), &path).to_string();
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(told(0), format!("{file}: line 2, column `b`: is wrong"));
    assert_eq!(told(1), format!("{file}: line 5, column `b`: is wrong"));
    // A row that is not there keeps its number, and one without a place gets none.
    assert_eq!(told(2), format!("{file}: row 3, column `b`: is wrong"));
    assert_eq!(locate(TableError::new("is wrong"), &path).to_string(), format!("{file}: is wrong"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn an_error_about_selected_rows_names_the_row_they_came_from() {
    let error = TableError::new("is wrong").at_row(1);
    assert_eq!(error.clone().selected(&[4, 6]).to_string(), "row 7: is wrong");
    assert_eq!(error.selected(&[4]).to_string(), "row 2: is wrong");
}
