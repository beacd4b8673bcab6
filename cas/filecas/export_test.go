package filecas

// TranslatePut and TranslateGet expose the table of errors, some of which no test
// can bring about.
func TranslatePut(err error) error { return translate(opPut, "/data/k", err) }

// TranslateGet is translate for a read.
func TranslateGet(err error) error { return translate(opGet, "/data/k", err) }
