// Shows the OpenAPI document that the page names.
const place = document.getElementById("api");
SwaggerUIBundle({ domNode: place, url: place.dataset.openapi, deepLinking: true, tryItOutEnabled: false });
