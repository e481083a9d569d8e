/// Bytes of a message, beyond which it is cut: 16 KiB, more than a page shows.
pub const MAX_MESSAGE: usize = 16 << 10;

/// Bytes of a name (repository, branch, builder, host type, machine, step), beyond which it is cut. Git's own names end
/// at 255 bytes a component.
pub const MAX_NAME: usize = 512;

/// What a store keeps of `text`: at most `limit` bytes, cut between characters, and no NUL, which PostgreSQL cannot keep.
pub(crate) fn clean(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
    if text.contains('\0') {
        // The mark for what cannot be shown is three bytes long; a space keeps the length.
        *text = text.replace('\0', " ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_has_no_nul() {
        let mut text = "a\0ä".to_owned();
        clean(&mut text, 3);
        assert_eq!(text, "a ");
        clean(&mut text, 100);
        assert_eq!(text, "a ");
    }
}
