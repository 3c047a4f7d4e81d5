"use strict";
SwaggerUIBundle({ url: "docs.json", dom_id: "#swagger-ui", deepLinking: true });
