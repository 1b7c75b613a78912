"""Whether a drawn emoji shows what its prompt asks for, judged by what real pictures look like."""
