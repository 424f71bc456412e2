#!/bin/sh
# Switch `current` back to the release before.
set -eu
: "${HONK_DEPLOY_DIR:?says where the site lives}"
: "${HONK_PREVIOUS_SHA:?says which release to go back to}"

if [ ! -d "$HONK_DEPLOY_DIR/releases/$HONK_PREVIOUS_SHA" ]; then
    echo "there is no release $HONK_PREVIOUS_SHA to go back to" >&2
    exit 1
fi
ln -sfn "releases/$HONK_PREVIOUS_SHA" "$HONK_DEPLOY_DIR/.current.$$"
mv -T "$HONK_DEPLOY_DIR/.current.$$" "$HONK_DEPLOY_DIR/current"
echo "back to $HONK_PREVIOUS_SHA"
