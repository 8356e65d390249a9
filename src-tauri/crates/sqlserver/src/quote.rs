//! Names and texts inside of statements. Everything that comes from outside goes through here, or as a parameter: no
//! statement is ever built by joining a name in as it is.

/// Quotes a name of an object, `[like ]] this]`. `None` for what can't be a name: empty, longer than 128 UTF-16 units, or
/// with a NUL in it.
pub fn identifier(name: &str) -> Option<String> {
    let units = name.encode_utf16().count();
    (1..=128).contains(&units).then_some(())?;
    (!name.contains('\0')).then(|| format!("[{}]", name.replace(']', "]]")))
}

/// Quotes a text of any characters, `N'it''s'`.
pub fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// Writes bytes as SQL Server spells them, `0x00FF`.
pub fn binary(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode_upper(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sqlparser::{
        dialect::MsSqlDialect,
        tokenizer::{Token, Tokenizer},
    };

    /// What somebody else's reader of T-SQL sees.
    fn tokens(sql: &str) -> Vec<Token> {
        Tokenizer::new(&MsSqlDialect {}, sql).tokenize().unwrap()
    }

    proptest! {
        #[test]
        fn a_name_stays_one_name(name in any::<String>()) {
            let Some(quoted) = identifier(&name) else {
                let units = name.encode_utf16().count();
                prop_assert!(units == 0 || units > 128 || name.contains('\0'));
                return Ok(());
            };
            match &tokens(&quoted)[..] {
                [Token::Word(word)] => prop_assert_eq!(&word.value, &name),
                other => prop_assert!(false, "{quoted} is {other:?}"),
            }
        }

        #[test]
        fn a_text_stays_one_text(text in any::<String>()) {
            match &tokens(&literal(&text))[..] {
                [Token::NationalStringLiteral(read)] => prop_assert_eq!(read, &text),
                other => prop_assert!(false, "{text} is {other:?}"),
            }
        }

        #[test]
        fn nothing_escapes_into_the_statement(name in "[\\]\\[;'\" a-z-]{1,40}", text in "[\\]\\[;'\" a-z-]{0,40}") {
            let sql = format!("SELECT {} FROM t WHERE c = {}", identifier(&name).unwrap(), literal(&text));
            let words = tokens(&sql).into_iter().filter(|t| !matches!(t, Token::Whitespace(_))).count();
            prop_assert_eq!(words, 8);
        }
    }

    #[test]
    fn awkward_names() {
        assert_eq!(identifier("a]b"), Some("[a]]b]".into()));
        assert_eq!(identifier("Räume 客室"), Some("[Räume 客室]".into()));
        assert_eq!(identifier("[dbo].[x]; DROP"), Some("[[dbo]].[x]]; DROP]".into()));
        assert_eq!((identifier(""), identifier(&"x".repeat(129))), (None, None));
        assert_eq!(binary(&[0, 255]), "0x00FF");
    }
}
