// Whoever was sent here from a page goes back to it: the browser carries the
// hash of the form's address over the redirect.
document.querySelector("form").action = "/console/login" + location.hash;
