#!/usr/bin/env bash
# What cluster.yaml needs of AWS: a bucket, a role of the head and a role of the workers. Untried on a real account.
#
#     bash jobs/aws-roles.sh your-bucket
#
# The head may start nodes, give them the worker's role, and use the bucket; workers may use the bucket only.
set -euo pipefail
BUCKET=${1:?give the name of the bucket}
ACCOUNT=$(aws sts get-caller-identity --query Account --output text)
POLICIES=$(mktemp -d)
trap 'rm -r "$POLICIES"' EXIT

cat > "$POLICIES/trust.json" <<EOF
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
EOF
cat > "$POLICIES/worker.json" <<EOF
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::$BUCKET"},
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
   "Resource": "arn:aws:s3:::$BUCKET/*"}]}
EOF
cat > "$POLICIES/head.json" <<EOF
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:RunInstances", "ec2:TerminateInstances", "ec2:CreateTags"],
   "Resource": "*"},
  {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::$ACCOUNT:role/landscape-ray-worker"}]}
EOF

aws s3 mb "s3://$BUCKET"
for ROLE in landscape-ray-head landscape-ray-worker; do
  aws iam create-role --role-name "$ROLE" --assume-role-policy-document "file://$POLICIES/trust.json"
  aws iam put-role-policy --role-name "$ROLE" --policy-name bucket --policy-document "file://$POLICIES/worker.json"
  aws iam create-instance-profile --instance-profile-name "$ROLE"
  aws iam add-role-to-instance-profile --instance-profile-name "$ROLE" --role-name "$ROLE"
done
aws iam put-role-policy --role-name landscape-ray-head --policy-name nodes \
    --policy-document "file://$POLICIES/head.json"
