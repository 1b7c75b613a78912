"""Pictures with captions as other people's files hold them, each kind behind a seqio source."""
