"""One writer for each page that the code knows best."""
