// The Continue button stays for browsers without JavaScript; here the form goes by itself.
document.getElementById("respond").submit();
