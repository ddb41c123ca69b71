// Package search finds items by the words that people type. It is the seam
// between the decision and the index that does the retrieval: search/bleve keeps
// one in the data directory, search/elastic asks an Elasticsearch or OpenSearch
// server. What is found is only candidates with a score of their text; who may
// see what, and in which order for whom, is settled by recommend.
//
// Words are taken as words: there is no query language, so nothing that is
// typed can be a fault or reach beyond the fields that are searched. Find goes
// from strict to generous: all words as typed, the last one perhaps unfinished;
// all words with typing errors; most words. It stops where something is found.
//
// A Keeper keeps an index the same as the catalog, some tenths of a second
// behind it. An index knows a checksum of what is in it, by bucket of the ids, so
// that after a restart only what differs is written, and a damaged or foreign
// one is seen and made again.
package search
