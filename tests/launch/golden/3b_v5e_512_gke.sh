# create
gcloud container clusters describe CLUSTER >/dev/null 2>&1 ||
  xpk cluster create --cluster CLUSTER --tpu-type=v5litepod-256 --num-slices=2 --on-demand
gcloud container clusters get-credentials CLUSTER

# install
bash launch/pack.sh build/babeldraw.tar.gz
bash launch/image.sh build/babeldraw.tar.gz REGISTRY/babeldraw:1 tpu

# start
kubectl delete jobset babeldraw-3b --ignore-not-found --wait=true
kubectl apply --filename=- <<'END'
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: babeldraw-3b
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: 50
    rules:
    - name: wrongrecipe
      action: FailJobSet
      onJobFailureReasons:
      - PodFailurePolicy
  replicatedJobs:
  - name: workers
    replicas: 2
    template:
      spec:
        parallelism: 64
        completions: 64
        completionMode: Indexed
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes:
              containerName: train
              operator: In
              values:
              - 2
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 300
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: tpu-v5-lite-podslice
              cloud.google.com/gke-tpu-topology: 16x16
            containers:
            - name: train
              image: REGISTRY/babeldraw:1
              args:
              - train
              - --gin_file=gin/runs/text_to_image.gin
              - --gin_file=gin/models/3b.gin
              - --gin_file=gin/tokenizers/small_small.gin
              - --gin_file=gin/tasks/coco.gin
              - --config=configs/v5e_512.py
              - --gin.TOKENIZER_CHECKPOINT='gs://BUCKET/tokenizer'
              - --model_dir=gs://BUCKET/babeldraw-3b
              env:
              - name: BABELDRAW_JOIN_SECONDS
                value: '900'
              - name: TFDS_DATA_DIR
                value: gs://BUCKET/tfds
              ports:
              - containerPort: 8476
              resources:
                limits:
                  google.com/tpu: 4
END

# logs
kubectl wait \
    --for=condition=Ready pod \
    --selector=jobset.sigs.k8s.io/jobset-name=babeldraw-3b,batch.kubernetes.io/job-completion-index=0 \
    --timeout=1h || true
kubectl logs \
    --follow \
    --selector=jobset.sigs.k8s.io/jobset-name=babeldraw-3b,batch.kubernetes.io/job-completion-index=0 \
    --tail=-1

# status (later, by --do=status)
kubectl get jobset babeldraw-3b
kubectl get pods --selector=jobset.sigs.k8s.io/jobset-name=babeldraw-3b --output=wide

# stop (later, by --do=stop)
kubectl patch jobset babeldraw-3b --type=merge --patch='{"spec":{"suspend":true}}'

# delete (later, by --do=delete)
kubectl delete jobset babeldraw-3b --ignore-not-found

# The same job by xpk, in place of `start`:
xpk workload create \
    --workload=babeldraw-3b \
    --cluster=CLUSTER \
    --tpu-type=v5litepod-256 \
    --docker-image=REGISTRY/babeldraw:1 \
    --num-slices=2 \
    --max-restarts=50 \
    --command='python -m babeldraw.cli.main train --gin_file=gin/runs/text_to_image.gin --gin_file=gin/models/3b.gin --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin --config=configs/v5e_512.py '"'"'--gin.TOKENIZER_CHECKPOINT='"'"'"'"'"'"'"'"'gs://BUCKET/tokenizer'"'"'"'"'"'"'"'"''"'"' --model_dir=gs://BUCKET/babeldraw-3b'

# The cluster costs money until it is deleted:
xpk cluster delete --cluster=CLUSTER
