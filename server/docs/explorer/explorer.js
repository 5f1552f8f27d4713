"use strict";

// The security scheme of every document.
const scheme = "bearerAuth";

// The token is given once for all documents, and is forgotten when the tab is closed.
const kept = "dragoman-token";

const keepToken = () => ({
	statePlugins: {
		auth: {
			wrapActions: {
				authorize: (authorize) => (given) => {
					if (given[scheme]) {
						sessionStorage.setItem(kept, given[scheme].value);
					}
					return authorize(given);
				},
				logout: (logout) => (names) => {
					sessionStorage.removeItem(kept);
					return logout(names);
				},
			},
		},
	},
});

const explorer = SwaggerUIBundle({
	domNode: document.getElementById("explorer"),
	url: document.getElementById("explorer").dataset.document,
	plugins: [keepToken],
	deepLinking: true,
	displayRequestDuration: true,
	defaultModelsExpandDepth: 0,
	onComplete: () => {
		const token = sessionStorage.getItem(kept);
		if (token) {
			explorer.preauthorizeApiKey(scheme, token);
		}
	},
});
