package node_test

// body is a request's or a response's body in the document.
type body struct {
	Description string            `json:"description"`
	Content     map[string]*media `json:"content"`
}

type media struct {
	Schema schema `json:"schema"`
}

// schema is the part of JSON Schema that the document uses.
type schema struct {
	Ref string `json:"$ref"`
}
