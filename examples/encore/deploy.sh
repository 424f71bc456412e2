#!/bin/sh
# Put the build beside the earlier releases and switch `current` to it in one move.
set -eu
: "${HONK_DEPLOY_DIR:?says where the site lives}"
: "${HONK_SHA:?says which commit this is}"
: "${HONK_ARTIFACT_WEB:?says where the build is}"

releases=$HONK_DEPLOY_DIR/releases
mkdir -p "$releases"

if [ ! -d "$releases/$HONK_SHA" ]; then
    incoming=$(mktemp -d "$HONK_DEPLOY_DIR/.incoming.XXXXXX")
    trap 'rm -rf "$incoming"' EXIT
    cp -R "$HONK_ARTIFACT_WEB/." "$incoming"
    chmod 755 "$incoming"
    mv -T "$incoming" "$releases/$HONK_SHA"
fi
touch "$releases/$HONK_SHA"

ln -sfn "releases/$HONK_SHA" "$HONK_DEPLOY_DIR/.current.$$"
mv -T "$HONK_DEPLOY_DIR/.current.$$" "$HONK_DEPLOY_DIR/current"

# Keep the last five, and whatever happens the one to go back to.
ls -1t "$releases" | tail -n +6 | while read -r old; do
    [ "$old" = "${HONK_PREVIOUS_SHA:-}" ] || rm -rf "${releases:?}/$old"
done
echo "released $HONK_SHA"
