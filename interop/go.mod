module interop

go 1.26.0

require golang.org/x/build v0.0.0-20260918145456-c0ee0fbd16a3
