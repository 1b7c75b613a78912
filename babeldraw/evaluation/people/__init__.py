"""What people prefer: a page of side-by-side pairs, and what their answers say."""
