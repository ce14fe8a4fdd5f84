// The key goes where only pages of this very origin can read it: cookies go to every port of a host.
localStorage.setItem("orchestra-key", document.querySelector("meta[name=orchestra-key]").content);
location.replace("/");
