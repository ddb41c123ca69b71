//go:build race

package model

// invoicesLimit keeps the computation over Online Retail short under the race
// detector; without it all invoices are compared.
const invoicesLimit = 2000
