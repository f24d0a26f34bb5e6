"""The models: one file each, one interface (`base`), one list (`registry`)."""
