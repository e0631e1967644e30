"""Drop-ins: a gallery behind the vector store interfaces of other frameworks."""
